"""Read and encode the target of the prepared tables."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.errors import PipelineError
from pipeline.learn.task import Task
from pipeline.params.schema import Params
from pipeline.tables.parts import PartedTable
from pipeline.tables.prepared import read_column


def read_targets(train: PartedTable, test: PartedTable, params: Params) -> tuple[Task, NDArray[Any], NDArray[Any]]:
    """Return the task, and the encoded target of the training and test rows.

    Raises
    ------
    PipelineError
        When the classes of the target are not valid.
    """
    dataset = params.dataset

    def classes(table: PartedTable) -> pd.Series:
        parts = read_column(table, dataset.target)
        return pd.concat([pd.Series(part.unique()) for part in parts]).drop_duplicates()

    is_regression = dataset.task == "regression"
    known = pd.Series() if is_regression else classes(train)
    task = Task.from_target(known, dataset.task, dataset.positive)
    if not is_regression:
        _check_classes(task, known, classes(test), params)
    y_train, y_test = (
        np.concatenate([task.encode(part) for part in read_column(table, dataset.target)]) for table in (train, test)
    )
    return task, y_train, y_test


def _check_classes(task: Task, train: pd.Series, test: pd.Series, params: Params) -> None:
    if task.n_classes < 2:
        raise PipelineError(
            f"{params.dataset.path}: {params.dataset.target!r} has only one class in the training rows, "
            f"{task.texts[0]!r}",
            "choose another dataset.target in params.yaml, or add rows of other classes",
        )
    positive = params.dataset.positive
    if positive is not None and (task.n_classes > 2 or str(positive) != task.texts[-1]):
        raise PipelineError(
            f"dataset.positive in params.yaml is {positive!r}, but {params.dataset.target!r} has the classes "
            f"{', '.join(task.texts)}",
            "name the positive class of a binary classification, or remove it",
        )
    unseen = sorted(set(test) - set(train))
    if unseen:
        raise PipelineError(
            f"{params.dataset.path}: {params.dataset.target!r} is {unseen[0]!r} in test rows but in no training row",
            "use dataset.split.strategy: stratified in params.yaml, or add or remove rows of that class",
        )


def on_disk(y: NDArray[Any], file: Path) -> NDArray[Any]:
    """Return an array that is read from a file when it is used."""
    file.parent.mkdir(parents=True)
    np.save(file, y)
    stored: NDArray[Any] = np.load(file, mmap_mode="r")
    return stored

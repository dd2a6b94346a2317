"""Metrics of the user's own: a function in the user's repository, named by ``evaluate.custom``."""

import importlib
import math
import sys
import traceback
from collections.abc import Callable, Mapping
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.errors import PipelineError
from pipeline.task import Task

KEY = "evaluate.custom in params.yaml"
SIGNATURE = "def {name}(y_true, y_pred, y_proba, rows): return {{'profit': 1.0}}"
LONGEST_NAME = 100
Function = Callable[..., Mapping[str, float]]


def load_function(name: str, folder: Path) -> Function:
    """Import ``module:function`` from the pipeline folder, or from the repository above it.

    Raises
    ------
    PipelineError
        When there is no such module or function, or the module cannot be imported.
    """
    module_name, function_name = name.split(":")
    places = [folder.resolve(), *folder.resolve().parents]
    file = Path(*module_name.split(".")).with_suffix(".py")
    place = next((place for place in places if (place / file).is_file()), None)
    remedy = f"write {file} in the pipeline folder, with: {SIGNATURE.format(name=function_name)}"
    if place is None:
        raise PipelineError(f"{KEY} is {name!r}, and there is no {file} in {places[0]} or above", remedy)
    sys.path.insert(0, str(place))
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        raise PipelineError(
            f"{KEY} is {name!r}, and {place / file} cannot be imported: {_described(error, place / file)}",
            "mend that file",
        ) from None
    finally:
        sys.path.remove(str(place))
    if Path(module.__file__ or "").resolve() != place / file:
        raise PipelineError(
            f"{KEY} is {name!r}, and the name {module_name!r} is taken by {module.__file__ or 'Python'}",
            f"rename {place / file}",
        )
    function = getattr(module, function_name, None)
    if not callable(function):
        raise PipelineError(f"{KEY} is {name!r}, and {place / file} has no function {function_name!r}", remedy)
    found: Function = function
    return found


def custom_metrics(
    function: Function, task: Task, y_true: NDArray[Any], outputs: NDArray[Any], rows: pd.DataFrame
) -> dict[str, float]:
    """Call the user's function on predictions.

    Parameters
    ----------
    function : callable
        From `load_function`. Called with y_true and y_pred, Series of numbers or labels as in the source table,
        y_proba, DataFrame with a column for every label (None in a regression), and rows; all with the same index.
    task : Task
    y_true : array, shape (n_rows,)
    outputs : array, shape (n_rows,) or (n_rows, n_classes)
    rows : DataFrame, shape (n_rows, n_columns)
        As prepared.

    Raises
    ------
    PipelineError
        When it raises, or returns anything but finite numbers by name.
    """
    where = f"{function.__module__}:{function.__name__}, which {KEY} names,"
    index, y_proba = rows.index, None
    if task.labels:
        y_proba = pd.DataFrame(outputs, columns=pd.Index(task.labels), index=index)
        y_true, y_pred = task.decode(y_true), task.decode(outputs.argmax(axis=1))
    else:
        y_pred = outputs
    try:
        found = function(
            pd.Series(y_true, index=index).infer_objects(),
            pd.Series(y_pred, index=index).infer_objects(),
            y_proba,
            rows.copy(),
        )
    except (Exception, SystemExit) as error:
        file = Path(sys.modules[function.__module__].__file__ or "")
        raise PipelineError(f"{where} raised {_described(error, file)}", f"mend it in {file}") from None
    if not isinstance(found, Mapping) or not found:
        raise PipelineError(
            f"{where} returned {found!r}, not numbers by name",
            f"let it return a dict: {SIGNATURE.format(name=function.__name__)}",
        )
    for name, value in found.items():
        if not isinstance(name, str) or not name.replace("_", "a").replace("-", "a").replace(".", "a").isalnum():
            raise PipelineError(f"{where} returned the name {name!r}", "use letters, digits, _, - and . in names")
        if len(name) > LONGEST_NAME:
            raise PipelineError(f"{where} returned a name of {len(name)} letters", f"use at most {LONGEST_NAME}")
        if not _is_finite(value):
            raise PipelineError(f"{where} returned {value!r} for {name!r}", "let it return finite numbers")
    return {name: float(value) for name, value in found.items()}


def _is_finite(value: object) -> bool:
    try:
        return isinstance(value, Real | np.number) and math.isfinite(float(value))
    except OverflowError:
        return False


def _described(error: BaseException, file: Path) -> str:
    """Return an error's type and text, and the line of `file` that it comes from."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == file]
    where = f" (line {lines[-1]})" if lines else ""
    return f"{type(error).__name__}: {str(error).strip() or 'no message'}{where}"

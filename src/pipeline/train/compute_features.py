"""Compute the features of a table part by part, into memory or into files."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.features.out_of_fold import OutOfFold
from pipeline.features.transformer import FeatureTransformer
from pipeline.support.threads import Runner, in_threads
from pipeline.tables.parts import PartedTable
from pipeline.train.dataset_input import schema_sample
from pipeline.train.feature_rows import FeatureRows, RowsOnDisk

Matrix = NDArray[np.float32]


@dataclass(frozen=True)
class _Features:
    """How to compute the features of a table; it can be sent to another process."""

    table: PartedTable
    transformer: FeatureTransformer
    out_of_fold: OutOfFold | None

    def compute(self, number: int) -> tuple[Matrix, pd.DataFrame]:
        """Return the features of a part, and its schema sample."""
        rows, place = self.table.read(number), slice(*self.table.starts[number : number + 2])
        return _features_of(rows, place, self.transformer, self.out_of_fold), schema_sample(rows).copy()

    def write(self, folder: Path, number: int) -> pd.DataFrame:
        """Write the features of a part to a file, and return its schema sample."""
        values, sample = self.compute(number)
        np.save(_file(folder, number), values.T)
        return sample


def _file(folder: Path, number: int) -> Path:
    return folder / f"{number}.npy"


def compute_features(
    table: PartedTable,
    transformer: FeatureTransformer,
    out_of_fold: OutOfFold | None,
    folder: Path | None,
    run: Runner = in_threads,
) -> tuple[FeatureRows, pd.DataFrame]:
    """Return all features of a prepared table, and its `schema_sample`.

    Parameters
    ----------
    table : PartedTable
    transformer : FeatureTransformer
        Fitted on the training rows.
    out_of_fold : OutOfFold, optional
        For the training table: it computes the features that are learned from the target.
    folder : Path, optional
        A folder to create, to which the features are written; by default they stay in memory.
    run : callable
        `in_threads` or, for features on disk, `Cluster.run`.
    """
    names, numbers = transformer.feature_names, range(len(table.parts))
    features, description = _Features(table, transformer, out_of_fold), "model_train: computed features of parts"
    if folder:
        folder.mkdir(parents=True)
        samples = run(partial(features.write, folder), numbers, description)
        files = [_file(folder, number) for number in numbers]
        return RowsOnDisk(files, np.array(table.starts), names, names), schema_sample(pd.concat(samples))
    matrix = np.empty((table.n_rows, len(names)), dtype=np.float32, order="F")

    def fill(number: int) -> pd.DataFrame:
        matrix[slice(*table.starts[number : number + 2])], sample = features.compute(number)
        return sample

    samples = in_threads(fill, numbers, description)
    return pd.DataFrame(matrix, columns=names, copy=False), schema_sample(pd.concat(samples))


def _features_of(
    rows: pd.DataFrame, place: slice, transformer: FeatureTransformer, out_of_fold: OutOfFold | None
) -> Matrix:
    source, names = transformer.source(rows), transformer.feature_names
    if out_of_fold is None:
        return transformer.compute(source, names)
    learned = transformer.target_names
    values = np.empty((len(rows), len(names)), dtype=np.float32, order="F")
    others = [name for name in names if name not in learned]
    values[:, [names.index(name) for name in others]] = transformer.compute(source, others)
    computed = out_of_fold.compute(source, out_of_fold.folds[place], learned)
    values[:, [names.index(name) for name in learned]] = computed
    return values

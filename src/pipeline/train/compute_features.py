"""Compute the features of a table part by part, into memory or into files."""

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.features.out_of_fold import OutOfFold
from pipeline.features.transformer import FeatureTransformer
from pipeline.support.threads import in_threads
from pipeline.tables.parts import PartedTable
from pipeline.train.dataset_input import schema_sample
from pipeline.train.feature_rows import FeatureRows, RowsOnDisk

Matrix = NDArray[np.float32]


def compute_features(
    table: PartedTable, transformer: FeatureTransformer, out_of_fold: OutOfFold | None, folder: Path | None
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
        Where to write the features; by default they stay in memory.
    """
    names = transformer.feature_names
    matrix = None if folder else np.empty((table.n_rows, len(names)), dtype=np.float32, order="F")
    files = [folder / f"{number}.npy" for number in range(len(table.parts))] if folder else []

    def compute_part(number: int) -> pd.DataFrame:
        rows, place = table.read(number), slice(*table.starts[number : number + 2])
        values = _features_of(rows, place, transformer, out_of_fold)
        if matrix is None:
            np.save(files[number], values.T)
        else:
            matrix[place] = values
        return schema_sample(rows).copy()

    if folder:
        folder.mkdir(parents=True)
    samples = in_threads(compute_part, range(len(table.parts)), "model_train: computed features of parts")
    sample = schema_sample(pd.concat(samples))
    if matrix is None:
        return RowsOnDisk(files, np.array(table.starts), names, names), sample
    return pd.DataFrame(matrix, columns=names, copy=False), sample


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

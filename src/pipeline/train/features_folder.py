"""Decide whether features are kept in memory or on disk."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import PipelineError
from pipeline.params.schema import Params, TrainParams
from pipeline.support.files import temporary_folder
from pipeline.support.memory import available_memory
from pipeline.support.paths import TRAIN_TABLE
from pipeline.support.progress import progress
from pipeline.train.tables import read_profile

FAMILY = "xgboost"
BYTES_PER_VALUE = 6  # of features in memory: a 32-bit float, its bin, and room for copies of a part
BYTES_PER_ROW = 60  # of targets, gradients and positions


@contextmanager
def features_folder(params: Params, folder: Path) -> Iterator[Path | None]:
    """Yield a folder for the features that are kept on disk by ``train.external_memory``; None: keep them in memory.

    Parameters
    ----------
    params : Params
    folder : Path
        The pipeline folder.

    Raises
    ------
    PipelineError
        When ``train.external_memory`` is true or the engine is ``dask``, but a model family or the device needs all
        features in memory.
    """
    profile = read_profile(folder, params.dataset)
    n_columns = len(profile["columns"]) + sum(map(len, profile["categories"].values()))
    if not _is_on_disk(params.train, profile["rows"]["train"] + profile["rows"]["test"], n_columns):
        yield None
        return
    path = (folder / TRAIN_TABLE.parent / "features").resolve()  # autologging changes the current folder
    with temporary_folder(path) as temporary:
        yield temporary


def _is_on_disk(params: TrainParams, n_rows: int, n_columns: int) -> bool:
    """Return whether to keep features on disk, and report it."""
    others = [name for name in params.models if name != FAMILY]
    problem = f"{others[0]} needs all features in memory" if others else ""
    if params.device == "cuda":
        problem = "a GPU needs all features in memory"
    reason = ""
    if params.engine == "dask":
        reason, alternative = "train.engine: dask", "train.engine: local"
    elif params.external_memory is True:
        reason, alternative = "train.external_memory: true", "train.external_memory: false"
    if reason and problem:
        raise PipelineError(
            f"params.yaml has {reason}, but {problem}",
            f"set train.models: [{FAMILY}] and train.device: cpu, or {alternative}",
        )
    if reason:
        progress(f"model_train: keeping features on disk ({reason})")
        return True
    needed, free = n_rows * (n_columns * BYTES_PER_VALUE + BYTES_PER_ROW), available_memory()
    if params.external_memory is False or needed <= free / 2:
        return False
    sizes = f"features take about {needed / 2**30:.2g} GiB, and {free / 2**30:.2g} GiB of memory are free"
    if problem:
        progress(f"warning: {sizes}; they stay in memory, because {problem} (train.external_memory: auto)")
        return False
    progress(f"model_train: keeping features on disk, because {sizes} (train.external_memory: auto)")
    return True

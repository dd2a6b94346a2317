"""Fit shards of the training rows on a worker of a cluster."""

import queue
import resource
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import PipelineError
from pipeline.train.external_memory import external_matrix
from pipeline.train.feature_rows import RowsOnDisk

if TYPE_CHECKING:
    from xgboost import Booster

CHECKPOINT_ROUNDS = 10
POLL_SECONDS = 0.2
SILENCE_SECONDS = 600  # without an answer from another shard, a shard gives up; reading rows may take minutes
FILES_PER_SHARD = 50
CANCELLED = "cancelled"  # file in the folder of a fit


@dataclass(frozen=True)
class Fit:
    """A fit of all shards, sent to each worker.

    Attributes
    ----------
    X : RowsOnDisk
    params : dict
        Of XGBoost's native interface.
    n_rounds, n_shards : int
    folder : Path
        Where the checkpoint is written; without it the fit ends.
    start : Path, optional
        The model to continue from.
    tracker : mapping
        How a shard finds the others.
    """

    X: RowsOnDisk
    params: Mapping[str, Any]
    n_rounds: int
    n_shards: int
    folder: Path
    start: Path | None = None
    tracker: Mapping[str, Any] = field(default_factory=dict)

    @property
    def checkpoint(self) -> Path:
        """The file of the last checkpoint."""
        return self.folder / "checkpoint.ubj"

    def write_checkpoint(self, model: bytes | bytearray) -> None:
        """Write a checkpoint atomically, unless the folder is gone."""
        temporary = self.folder / "unfinished.ubj"
        temporary.write_bytes(model)
        temporary.replace(self.checkpoint)

    def cancel(self) -> None:
        """Let all shards end."""
        (self.folder / CANCELLED).touch()

    @property
    def is_cancelled(self) -> bool:
        """Whether the shards shall end."""
        return (self.folder / CANCELLED).exists() or not self.folder.exists()


def fit_shards(fit: Fit, ranks: Sequence[int], n_threads: int) -> bytes | None:
    """Fit some shards in threads of this worker; return the model if the first shard is among them."""
    import xgboost.collective  # noqa: F401 (once here, because Python 3.11 may fail if threads import at the same time)

    _, limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    needed = len(ranks) * (fit.n_shards + FILES_PER_SHARD)  # every shard is connected with every other
    if needed > limit:
        raise PipelineError(
            f"{len(ranks)} of {fit.n_shards} shards on a worker need {needed:,} open files; its limit is {limit:,}",
            "start more workers, lower train.shards, or raise the limit of the workers (ulimit -n)",
        )
    outcomes: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def run(rank: int) -> None:
        try:
            outcomes.put(fit_shard(fit, rank, n_threads))
        except BaseException as error:
            outcomes.put(error)

    for rank in ranks:
        # A daemon: a shard that waits for one that was cut off ends after SILENCE_SECONDS, without an outcome.
        threading.Thread(target=run, args=(rank,), daemon=True).start()
    model: bytes | None = None
    for _ in ranks:
        outcome = _next(outcomes, fit)
        if isinstance(outcome, BaseException):
            raise outcome
        model = outcome or model
    return model


def _next(outcomes: "queue.SimpleQueue[Any]", fit: Fit) -> Any:
    while not fit.is_cancelled:
        with suppress(queue.Empty):
            return outcomes.get(timeout=POLL_SECONDS)
    return RuntimeError("the fit was cancelled")


def fit_shard(fit: Fit, rank: int, n_threads: int) -> bytes | None:
    """Fit one shard; return the model if it is the first one."""
    from xgboost import Booster, config_context
    from xgboost.collective import CommunicatorContext

    n_rows = len(fit.X)
    start, end = (n_rows * number // fit.n_shards for number in (rank, rank + 1))
    params = {**fit.params, "nthread": n_threads}
    communicator = CommunicatorContext(
        **fit.tracker, dmlc_task_id=f"{rank:08d}", dmlc_timeout=SILENCE_SECONDS, dmlc_retry=3
    )
    with config_context(verbosity=0), communicator, tempfile.TemporaryDirectory() as cache:
        data = external_matrix(fit.X, params, Path(cache), start, end)
        booster = Booster(params, [data], model_file=fit.start)
        try:
            for number in range(booster.num_boosted_rounds(), fit.n_rounds):
                if fit.is_cancelled:
                    return None
                if number % CHECKPOINT_ROUNDS == 0:
                    if rank == 0 and number:
                        fit.write_checkpoint(booster.save_raw("ubj"))
                    _restart_sampling(booster, int(params["seed"]) + number)
                booster.update(data, number)
            return bytes(booster.save_raw("ubj")) if rank == 0 else None
        finally:
            booster.reset()  # it refers to the data, whose files are removed
            del data


def _restart_sampling(booster: "Booster", seed: int) -> None:
    """Let rows and columns be sampled from here on as in a booster that continues from a checkpoint.

    XGBoost stores no state of its random generators. A change of the tree method makes it forget that of the columns;
    a new seed restarts that of the rows.
    """
    booster.set_param({"tree_method": "approx"})
    booster.save_config()  # applies it
    booster.set_param({"tree_method": "hist", "seed": seed})

"""Check the most recent recorded predictions of the production version for drift, as the service does."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pipeline.errors import PipelineError
from pipeline.params.schema import MonitorParams
from pipeline.service.drift.monitor import Monitor
from pipeline.service.models.loading import find_in_registry, load_model
from pipeline.service.models.served import ServedModel
from pipeline.service.recording.table import INPUT, PROBABILITY, schema_of
from pipeline.service.records import Outputs, PredictionRecord
from pipeline.service.settings import Settings
from pipeline.store.open import open_store
from pipeline.support.progress import progress

if TYPE_CHECKING:
    import pyarrow as pa


def has_drifted(predictions: "pa.Table", params: MonitorParams, settings: Settings) -> bool:
    """Return whether there is drift, and report the findings as progress.

    Inference times are not checked, because retraining does not change them.

    Parameters
    ----------
    predictions : Table
        All recorded predictions of the registered model.
    params : MonitorParams
    settings : Settings
        The registered model and its stage.

    Raises
    ------
    PipelineError
        If no version is in that stage, or it has no reference profile.
    """
    client = open_store()
    model, _ = load_model(find_in_registry(client, settings, None), client)
    name = f"{model.name} version {model.version}"
    if model.profile is None:
        raise PipelineError(
            f"{name} has no reference profile to compare the predictions with",
            "retrain without --if-drifted: the new model will have one",
        )
    answered = _most_recent(predictions, model, params.window)
    n_rows = len(answered.ids)
    if n_rows < params.min_rows:
        progress(
            f"retrain: {n_rows:,} predictions of {name} are recorded, too few to check for drift "
            f"(monitor.min_rows: {params.min_rows:,}): nothing to do"
        )
        return False
    monitor = Monitor(params.model_copy(update={"max_inference_ms": None}), None)
    monitor.add([answered])
    with _errors_only("pipeline.service.drift.monitor"):
        monitor.check(model)
    report = monitor.report()
    if report["checked_at"] is None:
        raise PipelineError(
            f"the recorded predictions of {name} cannot be compared with its reference profile: see above",
            "retrain without --if-drifted",
        )
    alarms = report["alarms"]
    message = f"retrain: {'' if alarms else 'no '}drift in the most recent {n_rows:,} predictions of {name}"
    progress("\nretrain:   ".join([message, *alarms]) if alarms else f"{message}: nothing to do")
    return bool(alarms)


def _most_recent(predictions: "pa.Table", model: ServedModel, n_rows: int) -> PredictionRecord:
    """Return the most recent recorded predictions of a production model as if they came from one request."""
    import pyarrow.compute as pc

    schema = schema_of(model.identity)
    is_from_model = pc.and_(
        pc.equal(predictions["model_version"], model.version), pc.equal(predictions["arm"], "production")
    )
    selected = predictions.filter(is_from_model)
    if selected.num_rows:
        selected = selected.slice(max(0, selected.num_rows - n_rows)).select(schema.names).cast(schema)
    else:  # the table may lack columns of this version
        selected = schema.empty_table()
    columns = {name: selected[INPUT + name].to_pylist() for name in model.kinds}
    probabilities = [selected[f"{PROBABILITY}{label}"].to_pylist() for label in model.labels or []]
    outputs = Outputs(
        selected["prediction"].to_pylist(),
        [list(row) for row in zip(*probabilities, strict=True)] or None,
        model.raw.threshold,
    )
    return PredictionRecord(
        0.0, selected["prediction_id"].to_pylist(), "production", model.identity, columns, outputs, 0.0
    )


@contextmanager
def _errors_only(name: str) -> Iterator[None]:
    """Let a logger show errors, but not the alarms, which are reported as progress."""
    logger, handler = logging.getLogger(name), logging.StreamHandler()
    handler.setLevel(logging.ERROR)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)

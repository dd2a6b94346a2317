"""Retrain: add labeled predictions to the training table, run the pipeline, and let the gate decide."""

from pathlib import Path

from pipeline.errors import GateError
from pipeline.params.schema import Params
from pipeline.register.stage import Registration, register
from pipeline.retrain.drift import has_drifted
from pipeline.retrain.extend import extend
from pipeline.retrain.labels import LABELS, read_labels
from pipeline.retrain.pipeline_run import retraining_lock, run_pipeline
from pipeline.service.recording.read import read_predictions
from pipeline.service.settings import load_settings
from pipeline.support.progress import progress


def retrain(params: Params, folder: Path, labels: Path | None = None, if_drifted: bool = False) -> None:
    """Train on the training table with labeled predictions added, and promote the winner if it passes the gate.

    After an interruption it can be run again: no prediction is added twice, and completed training is not repeated.

    Parameters
    ----------
    params : Params
    folder : Path
        The pipeline folder.
    labels : Path, optional
        CSV or Parquet file, see `read_labels`; by default ``data/labels.csv`` in the pipeline folder.
    if_drifted : bool
        Whether to retrain only if the most recent predictions of the production version show drift.

    Raises
    ------
    GateError
        If the gate refuses to promote the new model.
    PipelineError
        If the labels, recorded predictions or table cannot be used, or the pipeline fails.
    """
    with retraining_lock(folder) as lock:
        _retrain(params, folder, labels or folder / LABELS, if_drifted, lock)


def _retrain(params: Params, folder: Path, labels: Path, if_drifted: bool, lock: int) -> None:
    name = params.registry.model_name
    settings = load_settings(name).model_copy(update={"mlflow_model_name": name, "model_stage": "Production"})
    predictions = read_predictions(folder / settings.service_predictions, name)
    if if_drifted and not has_drifted(predictions, params.monitor, settings):
        return
    label_table = read_labels(labels, params.dataset)
    rows = predictions.to_pandas()
    extension = extend(params.dataset, folder, rows, label_table)
    n_labeled = rows["prediction_id"].isin(label_table.index).sum()
    progress(
        f"retrain: {len(rows):,} predictions recorded, {n_labeled:,} with a label, {len(rows) - n_labeled:,} without"
    )
    if extension.n_left_out:
        progress(
            f"retrain: {extension.n_left_out:,} predictions left out, because they lack a boolean that all rows of the "
            "table have"
        )
    if extension.unused:
        progress(
            f"retrain: columns not used, because the table lacks them or the recorded values are used: "
            f"{', '.join(extension.unused)}"
        )
    progress(
        f"retrain: {extension.path}: {extension.n_own:,} rows of the table and {extension.n_predictions:,} labeled "
        f"predictions, {extension.n_new:,} of them new"
    )
    run_pipeline(folder, extension.path, lock)
    try:
        register(params.registry, folder, Registration(stage="Production", reason="retrained on recorded predictions"))
    except GateError as error:
        next_step = error.remedy.removeprefix("nothing was changed; ")
        restore = "git restore --staged --worktree . && dvc repro"
        raise GateError(
            error.problem,
            f"Production is unchanged, but this folder has the new model's files (to undo: {restore}); {next_step}",
        ) from None

"""Retraining: labelled predictions join the training table, the pipeline runs, and the gate decides."""

from pathlib import Path

from pipeline.errors import GateError
from pipeline.params.schema import Params
from pipeline.register.stage import Registration, register
from pipeline.retrain.drift import has_drifted
from pipeline.retrain.extend import extend
from pipeline.retrain.labels import LABELS, read_labels
from pipeline.retrain.pipeline_run import alone, run_pipeline
from pipeline.service.recording.read import read_predictions
from pipeline.service.settings import load_settings
from pipeline.support.progress import progress


def retrain(params: Params, folder: Path, labels: Path | None = None, if_drifted: bool = False) -> None:
    """Train on the training table and the recorded predictions whose labels are known, and try to promote the winner.

    Killed in the middle, it may be run again: no prediction becomes two rows, and what is trained is not trained anew.

    Parameters
    ----------
    params : Params
    folder : Path
        The pipeline folder.
    labels : Path, optional
        CSV or Parquet, see `read_labels`; ``data/labels.csv`` below the pipeline folder when absent.
    if_drifted : bool
        Whether to do nothing unless the newest predictions of the version in Production show drift.

    Raises
    ------
    GateError
        When the new model does not take the place of the version in Production.
    PipelineError
        When labels, records or the table cannot be used, or the pipeline fails.
    """
    with alone(folder) as lock:
        _retrain(params, folder, labels or folder / LABELS, if_drifted, lock)


def _retrain(params: Params, folder: Path, labels: Path, if_drifted: bool, lock: int) -> None:
    name = params.registry.model_name
    settings = load_settings(name).model_copy(update={"mlflow_model_name": name, "model_stage": "Production"})
    predictions = read_predictions(folder / settings.service_predictions, name)
    if if_drifted and not has_drifted(predictions, params.monitor, settings):
        return
    labelled = read_labels(labels, params.dataset)
    rows = predictions.to_pandas()
    extension = extend(params.dataset, folder, rows, labelled)
    n_labelled = rows["prediction_id"].isin(labelled.index).sum()
    progress(
        f"retrain: {len(rows):,} predictions recorded, {n_labelled:,} with a label, {len(rows) - n_labelled:,} without"
    )
    if extension.n_left_out:
        progress(
            f"retrain: left out, as a truth value is missing that the table has in all rows: {extension.n_left_out:,}"
        )
    if extension.unused:
        progress(
            f"retrain: not used, as the table has no such column, or as the recorded value counts: "
            f"{', '.join(extension.unused)}"
        )
    progress(
        f"retrain: {extension.path}: {extension.n_own:,} rows of the table and {extension.n_predictions:,} labelled "
        f"predictions, {extension.n_new:,} of them new"
    )
    run_pipeline(folder, extension.path, lock)
    try:
        register(params.registry, folder, Registration(stage="Production", reason="retrained on recorded predictions"))
    except GateError as error:
        insist = error.remedy.removeprefix("nothing was changed; ")
        back = "git restore --staged --worktree . && dvc repro"
        raise GateError(
            error.problem, f"Production is as it was; this folder is the new model's (to go back: {back}); {insist}"
        ) from None

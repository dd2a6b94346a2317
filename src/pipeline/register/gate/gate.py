"""The gate: decide whether a run may replace the current production version."""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.errors import PipelineError, RegistryError
from pipeline.features.raw_rows_model import RawRowsModel
from pipeline.features.transformer import FEATURES_FILE
from pipeline.learn.task import Label, Task
from pipeline.params.schema import GateParams
from pipeline.register.finished_run import FinishedRun, find_finished_run
from pipeline.register.gate.bootstrap import PairedOutputs
from pipeline.register.gate.comparison import compare
from pipeline.register.gate.comparison_table import conditions, format_table, summary
from pipeline.register.gate.test_rows import load_test_rows, may_have_trained_on
from pipeline.store.logged_model import download_verified

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

FORCE = 'promote it without a comparison: --stage Production --force --reason "…"'
MAX_SUMMARY_LENGTH = 300


@dataclass(frozen=True)
class GateVerdict:
    """Whether a candidate may be promoted, and why.

    Attributes
    ----------
    promotes : bool
    reason : str
        One sentence.
    table : str
        The comparison in lines of at most 110 characters.
    summary : str
        The result in at most 300 characters, for the history.
    """

    promotes: bool
    reason: str
    table: str
    summary: str


@dataclass(frozen=True)
class _Predictions:
    """Predictions of a model for some rows: numbers, or probabilities of its classes and predicted labels as text."""

    labels: list[Label] | None
    outputs: NDArray[Any]
    predicted: pd.Series | None

    def classes(self, task: Task) -> NDArray[Any] | None:
        """Return the predicted classes by their numbers in a task."""
        return None if self.predicted is None else task.encode(self.predicted)


def judge(
    client: "MlflowClient", candidate: FinishedRun, current: "ModelVersion", params: GateParams, folder: Path
) -> GateVerdict:
    """Compare a candidate with the current production version; both predict the candidate's test rows now.

    Parameters
    ----------
    client : MlflowClient
    candidate : FinishedRun
    current : ModelVersion
        The production version, which has another run.
    params : GateParams
    folder : Path
        The pipeline folder, with the test table.

    Returns
    -------
    GateVerdict
        If the current version cannot be evaluated, the candidate is refused: it is not known to be better.

    Raises
    ------
    PipelineError
        If the candidate cannot be evaluated: the test table is missing or differs, its model cannot predict it, or
        params.yaml names a metric or a slice that does not fit it.
    """
    name = f"version {current.version}"
    rows = load_test_rows(client, candidate.run_id, folder, f"it cannot be compared with {name}", f"or {FORCE}")
    target = client.get_run(candidate.run_id).data.params.get("dataset.target", "")
    if target not in rows.columns:
        raise RegistryError(f"run {candidate.run_id} has no parameter dataset.target", f"train again, or {FORCE}")
    predictions = _predict(candidate, rows)
    task = Task(predictions.labels)
    y_true, classes = task.encode(rows[target]), predictions.classes(task)
    title = f"run {candidate.run_id} compared with {current.name} {name} on the same {len(rows):,} rows"
    try:
        current_run = _find_current_run(client, current, folder, target)
        current_predictions = _predict(current_run, rows)
        current_outputs = _align_classes(current_predictions, task)
    except PipelineError as error:
        outputs = PairedOutputs(task, y_true, None, predictions.outputs, candidate_classes=classes)
        comparison = compare(outputs, rows, params)
        reason = f"{name} cannot be evaluated: {error.problem}"
        text = format_table(title, current.version, comparison, params, [("FAILED", reason)])
        return GateVerdict(False, reason, text, reason[:MAX_SUMMARY_LENGTH])
    current_classes = current_predictions.classes(task)
    comparison = compare(
        PairedOutputs(task, y_true, current_outputs, predictions.outputs, current_classes, classes), rows, params
    )
    rules = conditions(comparison, params)
    failed = [rule.text for rule in rules if not rule.holds]
    findings = [("passed" if rule.holds else "FAILED", rule.text) for rule in rules]
    if comparison.is_identical:
        failed = [f"predicts exactly the same as {name} for all {len(rows):,} test rows"]
        findings = [("FAILED", f"the candidate {failed[0]}")]
    if may_have_trained_on(client, current_run.run_id, candidate.run_id):
        note = f"{name} was trained on another table: some of these test rows may be among its training rows, "
        findings.append(("note", note + "so its metrics here may be better than on new rows"))
    reasons = failed or [rule.text for rule in rules]
    return GateVerdict(
        promotes=not failed,
        reason=f"run {candidate.run_id}, compared with {name}: {'; '.join(reasons)}",
        table=format_table(title, current.version, comparison, params, findings),
        summary=summary(comparison, params)[:MAX_SUMMARY_LENGTH],
    )


def _find_current_run(client: "MlflowClient", current: "ModelVersion", folder: Path, target: str) -> FinishedRun:
    """Return the run of the current production version, checked like a candidate.

    Raises
    ------
    PipelineError
        If the run or its model is missing or was changed, or it predicts another column than `target`.
    """
    if not current.run_id:
        raise RegistryError("it has no MLflow run", FORCE)
    current_run = find_finished_run(client, folder, current.run_id)
    predicted = client.get_run(current_run.run_id).data.params.get("dataset.target")
    if predicted != target:
        raise RegistryError(f"it predicts the column {predicted!r}, but the candidate predicts {target!r}", FORCE)
    return current_run


def _predict(run: FinishedRun, rows: pd.DataFrame) -> _Predictions:
    """Return the predictions of a run's logged model, after checking that its files are what the run wrote.

    Raises
    ------
    RegistryError
        If the model cannot be loaded or cannot predict these rows.
    """
    with tempfile.TemporaryDirectory() as name:
        try:
            logged = Path(name) / "model"
            download_verified(f"models:/{run.model_id}", run.tags, logged, FORCE)
            features = json.loads((logged / FEATURES_FILE).read_text(encoding="utf-8"))
            missing = [column for column in features["transformer"]["kinds"] if column not in rows.columns]
            if missing:
                raise ValueError(f"it needs the column {missing[0]!r}, which is not in the test table")
            model = RawRowsModel(logged)
            predicted = model.predict(rows)
        except Exception as error:  # a model may raise anything
            detail = str(error).strip().split("\n")[0] or type(error).__name__
            raise RegistryError(
                f"the model of run {run.run_id} cannot predict the test rows: {detail}", FORCE
            ) from None
    outputs, labels = np.asarray(predicted), None
    if isinstance(predicted, pd.DataFrame):
        outputs, labels = predicted.iloc[:, 1:].to_numpy(), predicted["prediction"].map(str)
    if not np.isfinite(outputs).all():
        raise RegistryError(f"the model of run {run.run_id} predicts values that are not finite", FORCE)
    return _Predictions(model.labels, outputs, labels)


def _align_classes(predictions: _Predictions, task: Task) -> NDArray[Any]:
    """Return predictions with probabilities in the order of the task's classes.

    Raises
    ------
    RegistryError
        If the model has other classes, or predicts numbers instead of classes or vice versa.
    """
    current_task = Task(predictions.labels)
    if bool(current_task.labels) != bool(task.labels):
        kinds = ("classes", "numbers") if current_task.labels else ("numbers", "classes")
        raise RegistryError(f"it predicts {kinds[0]}, but the candidate predicts {kinds[1]}", FORCE)
    if sorted(current_task.texts) != sorted(task.texts):
        both = (current_task.texts, task.texts)
        lists = [", ".join(texts[:10]) + (", …" if len(texts) > 10 else "") for texts in both]
        raise RegistryError(f"its classes are {lists[0]}, but those of the candidate are {lists[1]}", FORCE)
    order = [current_task.texts.index(text) for text in task.texts]
    return predictions.outputs[:, order] if task.labels else predictions.outputs

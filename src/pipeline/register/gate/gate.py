"""The gate: whether a run may take the place of the version in Production."""

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
from pipeline.register.gate.comparison_table import conditions, summary, table
from pipeline.register.gate.tested_rows import may_know, tested_rows
from pipeline.store.logged_model import fetch_logged

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

FORCE = 'promote it without a comparison: --stage Production --force --reason "…"'
LONGEST_SUMMARY = 300


@dataclass(frozen=True)
class GateVerdict:
    """Whether a candidate may be promoted, and why.

    Attributes
    ----------
    promotes : bool
    reason : str
        One sentence.
    table : str
        What was compared and found, in lines of at most 110 characters.
    summary : str
        For the history: at most 300 characters.
    """

    promotes: bool
    reason: str
    table: str
    summary: str


@dataclass(frozen=True)
class _Answers:
    """What a model predicts of some rows: numbers, or probabilities of its labels."""

    labels: list[Label] | None
    outputs: NDArray[Any]


def judge(
    client: "MlflowClient", candidate: FinishedRun, current: "ModelVersion", params: GateParams, folder: Path
) -> GateVerdict:
    """Compare a candidate with the version in Production: both predict the candidate's test rows now.

    Parameters
    ----------
    client : MlflowClient
    candidate : FinishedRun
    current : ModelVersion
        The version in Production, of another run.
    params : GateParams
    folder : Path
        The pipeline folder, with the test table.

    Returns
    -------
    GateVerdict
        A version that cannot be evaluated lets nothing pass: whether it is worse is not known.

    Raises
    ------
    PipelineError
        When the candidate cannot be evaluated: the test table is not there or another one, its model cannot predict
        it, or params.yaml names a metric or a slice that do not fit it.
    """
    name = f"version {current.version}"
    rows = tested_rows(client, candidate.run_id, folder, f"it cannot be compared with {name}", f"or {FORCE}")
    target = client.get_run(candidate.run_id).data.params.get("dataset.target", "")
    if target not in rows.columns:
        raise RegistryError(f"run {candidate.run_id} does not say which column it predicts", f"train anew, or {FORCE}")
    ours = _answers(candidate, rows)
    task = Task(ours.labels)
    y_true = task.encode(rows[target])
    title = f"run {candidate.run_id} against {current.name} {name}, on the same {len(rows):,} test rows"
    try:
        rival = _rival(client, current, folder, target)
        theirs = _in_order(_answers(rival, rows), task)
    except PipelineError as error:
        only = compare(PairedOutputs(task, y_true, None, ours.outputs), rows, params)
        reason = f"{name} cannot be evaluated: {error.problem}"
        return GateVerdict(
            False, reason, table(title, current.version, only, params, [("FAILED", reason)]), reason[:LONGEST_SUMMARY]
        )
    found = compare(PairedOutputs(task, y_true, theirs, ours.outputs), rows, params)
    rules = conditions(found, params)
    failed = [rule.text for rule in rules if not rule.holds]
    below = [("passed" if rule.holds else "FAILED", rule.text) for rule in rules]
    if found.same:
        failed = [f"predicts exactly what {name} predicts of all {len(rows):,} test rows"]
        below = [("FAILED", f"the candidate {failed[0]}")]
    if may_know(client, rival.run_id, candidate.run_id):
        note = f"{name} was trained on another table: some of these test rows may be among its training rows, "
        below.append(("note", note + "which makes it look better here than it is"))
    words = failed or [rule.text for rule in rules]
    return GateVerdict(
        promotes=not failed,
        reason=f"run {candidate.run_id}, compared with {name}: {'; '.join(words)}",
        table=table(title, current.version, found, params, below),
        summary=summary(found, params)[:LONGEST_SUMMARY],
    )


def _rival(client: "MlflowClient", current: "ModelVersion", folder: Path, target: str) -> FinishedRun:
    """Return the run of the version in Production, checked like a candidate.

    Raises
    ------
    PipelineError
        When it or its model is gone or changed, or it predicts something else than `target`.
    """
    if not current.run_id:
        raise RegistryError("it belongs to no MLflow run", FORCE)
    rival = find_finished_run(client, folder, current.run_id)
    predicted = client.get_run(rival.run_id).data.params.get("dataset.target")
    if predicted != target:
        raise RegistryError(f"it predicts the column {predicted!r}, the candidate {target!r}", FORCE)
    return rival


def _answers(run: FinishedRun, rows: pd.DataFrame) -> _Answers:
    """Load a run's logged model, after comparing its files with what the run wrote, and predict rows.

    Raises
    ------
    RegistryError
        When the model cannot be loaded or cannot predict these rows.
    """
    with tempfile.TemporaryDirectory() as name:
        try:
            logged = Path(name) / "model"
            fetch_logged(f"models:/{run.model_id}", run.tags, logged, FORCE)
            stored = json.loads((logged / FEATURES_FILE).read_text(encoding="utf-8"))
            absent = [column for column in stored["transformer"]["kinds"] if column not in rows.columns]
            if absent:
                raise ValueError(f"it needs the column {absent[0]!r}, which the test table does not have")
            served = RawRowsModel(logged)
            predicted = served.predict(rows)
        except Exception as error:  # a model may raise anything
            detail = str(error).strip().split("\n")[0] or type(error).__name__
            raise RegistryError(
                f"the model of run {run.run_id} cannot predict the test rows: {detail}", FORCE
            ) from None
    outputs = predicted.iloc[:, 1:].to_numpy() if isinstance(predicted, pd.DataFrame) else predicted
    if not np.isfinite(outputs).all():
        raise RegistryError(f"the model of run {run.run_id} predicts what is no finite number", FORCE)
    return _Answers(served.labels, outputs)


def _in_order(answers: _Answers, task: Task) -> NDArray[Any]:
    """Return predictions with probabilities in the order of the task's labels.

    Raises
    ------
    RegistryError
        When they are of other labels, or of another kind of target.
    """
    theirs = Task(answers.labels)
    if bool(theirs.labels) != bool(task.labels):
        kinds = ("labels", "a number") if theirs.labels else ("a number", "labels")
        raise RegistryError(f"it predicts {kinds[0]}, the candidate {kinds[1]}", FORCE)
    if sorted(theirs.texts) != sorted(task.texts):
        lists = [", ".join(texts[:10]) + (", …" if len(texts) > 10 else "") for texts in (theirs.texts, task.texts)]
        raise RegistryError(f"it knows the labels {lists[0]}, the candidate {lists[1]}", FORCE)
    return answers.outputs[:, [theirs.texts.index(text) for text in task.texts]] if task.labels else answers.outputs

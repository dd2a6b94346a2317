"""Format the versions and the stage transitions of a registered model as text tables."""

from typing import TYPE_CHECKING

from pipeline.errors import RegistryError
from pipeline.learn.metrics import greater_is_better
from pipeline.register.finished_run import TRAIN
from pipeline.register.history import Transition, history, last_transition
from pipeline.store.open import open_store
from pipeline.support.text import align_columns

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

METRICS = ("rmse", "log_loss", "accuracy", "r2")  # of the test rows; a version has some of them


def versions_table(name: str) -> str:
    """Return a table of the versions: stage, alias, run, metrics, data hash, and who set the stage when and why."""
    client = open_store()
    versions, entries = _versions(client, name), history(client, name)
    aliases: dict[str, str] = client.get_registered_model(name).aliases
    metrics = [metric for metric in METRICS if any(_metric(version, metric) for version in versions)]
    rows = []
    for version in versions:
        last = last_transition(entries, int(version.version))
        version_aliases = [alias for alias, number in aliases.items() if str(number) == str(version.version)]
        rows.append(
            [
                str(version.version),
                str(version.current_stage),
                ", ".join(sorted(version_aliases)) or "-",
                str(version.run_id)[:8],
                *(_metric(version, metric) or "-" for metric in metrics),
                version.tags.get("data_sha256", "-")[:8],
                last.when[:16].replace("T", " ") if last else "-",
                last.by if last else "-",
                _describe_reason(last, int(version.version)) if last else "-",
            ]
        )
    return _table(["version", "stage", "alias", "run", *metrics, "data", "when (UTC)", "by", "how: reason"], rows)


def history_table(name: str) -> str:
    """Return a table of the stage transitions, the oldest first, each with the result of the gate below it."""
    client = open_store()
    versions, entries = _versions(client, name), history(client, name)
    rows = [
        [
            entry.when[:19].replace("T", " "),
            str(entry.version),
            entry.origin,
            entry.stage if entry.done else f"{entry.stage} (unfinished)",
            entry.how,
            entry.by,
            entry.reason or "-",
        ]
        for entry in entries
    ]
    header, *lines = _table(["when (UTC)", "version", "from", "to", "how", "by", "reason"], rows).split("\n")
    text = [header]
    for entry, line in zip(entries, lines, strict=True):
        text.append(line)
        text += [f"    archived version {archived}" for archived in entry.archived]
        text += [f"    gate: {entry.comparison}"] if entry.comparison else []
    return "\n".join(text + _notes_on_other_changes(versions, entries))


def _table(header: list[str], rows: list[list[str]]) -> str:
    """Return rows below a header as aligned text, with numbers right-aligned."""
    columns = [{row[number] for row in rows} - {"-"} for number in range(len(header))]
    numeric = [number for number, texts in enumerate(columns) if texts and all(map(_is_number, texts))]
    return align_columns([header, *rows], numeric)


def _versions(client: "MlflowClient", name: str) -> list["ModelVersion"]:
    versions = sorted(client.search_model_versions(f"name = '{name}'"), key=lambda version: int(version.version))
    if not versions:
        raise RegistryError(
            f"the store has no version of {name}",
            f"register one: dvc repro; if that has nothing to run: {TRAIN}",
        )
    return versions


def _metric(version: "ModelVersion", metric: str) -> str:
    tags: dict[str, str] = version.tags
    assert greater_is_better(metric) is not None
    return tags.get(f"test_{metric}") or tags.get(metric, "")


def _describe_reason(last: Transition, version: int) -> str:
    reason = f": {last.reason}" if last.reason else ""
    if last.version != version:
        return f"{'rolled back' if last.how == 'rollback' else 'replaced'} by version {last.version}{reason}"
    return f"{last.how}{reason}"


def _notes_on_other_changes(versions: list["ModelVersion"], entries: list[Transition]) -> list[str]:
    """Return a note for each version whose stage differs from the history, because something else changed it."""
    notes = []
    for version in versions:
        last = last_transition(entries, int(version.version))
        expected = "None" if last is None else last.stage if last.version == int(version.version) else "Archived"
        if expected != version.current_stage:
            notes.append(
                f"note: version {version.version} is in {version.current_stage}, which is not in the history: "
                "it was changed in the MLflow UI or by another program"
            )
    return notes


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).replace("-", "0", 1).replace("e", "", 1).replace("+", "", 1).isdigit()

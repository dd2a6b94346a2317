"""The versions and the moves of a registered model, as text."""

from typing import TYPE_CHECKING

from pipeline.errors import RegistryError
from pipeline.learn.metrics import better
from pipeline.register.finished_run import TRAIN
from pipeline.register.history import Transition, history, last_of
from pipeline.store.open import open_store
from pipeline.support.text import aligned

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

SHOWN = ("rmse", "log_loss", "accuracy", "r2")  # metrics of the test rows, as far as there are any


def versions_table(name: str) -> str:
    """Return a line for each version: stage, alias, run, metrics, data hash, and who gave it its stage when and why."""
    client = open_store()
    versions, moves = _versions(client, name), history(client, name)
    aliases: dict[str, str] = client.get_registered_model(name).aliases
    metrics = [metric for metric in SHOWN if any(_metric(version, metric) for version in versions)]
    rows = []
    for version in versions:
        last = last_of(moves, int(version.version))
        named = [alias for alias, number in aliases.items() if str(number) == str(version.version)]
        rows.append(
            [
                str(version.version),
                str(version.current_stage),
                ", ".join(sorted(named)) or "-",
                str(version.run_id)[:8],
                *(_metric(version, metric) or "-" for metric in metrics),
                version.tags.get("data_sha256", "-")[:8],
                last.when[:16].replace("T", " ") if last else "-",
                last.by if last else "-",
                _why(last, int(version.version)) if last else "-",
            ]
        )
    return _table(["version", "stage", "alias", "run", *metrics, "data", "when (UTC)", "by", "how: reason"], rows)


def history_table(name: str) -> str:
    """Return a line for each move of a version, the oldest first, and what the gate found below it."""
    client = open_store()
    versions, moves = _versions(client, name), history(client, name)
    rows = [
        [
            move.when[:19].replace("T", " "),
            str(move.version),
            move.origin,
            move.stage if move.done else f"{move.stage} (begun)",
            move.how,
            move.by,
            move.reason or "-",
        ]
        for move in moves
    ]
    header, *lines = _table(["when (UTC)", "version", "from", "to", "how", "by", "reason"], rows).split("\n")
    shown = [header]
    for move, line in zip(moves, lines, strict=True):
        shown.append(line)
        shown += [f"    archived version {one}" for one in move.archived]
        shown += [f"    gate: {move.comparison}"] if move.comparison else []
    return "\n".join(shown + _moved_elsewhere(versions, moves))


def _table(header: list[str], rows: list[list[str]]) -> str:
    """Return rows below a header, numbers to the right."""
    columns = [{row[place] for row in rows} - {"-"} for place in range(len(header))]
    numbers = [place for place, texts in enumerate(columns) if texts and all(map(_is_number, texts))]
    return aligned([header, *rows], numbers)


def _versions(client: "MlflowClient", name: str) -> list["ModelVersion"]:
    versions = sorted(client.search_model_versions(f"name = '{name}'"), key=lambda one: int(one.version))
    if not versions:
        raise RegistryError(
            f"there is no version of {name} in the store",
            f"register one: dvc repro; where that finds nothing to do: {TRAIN}",
        )
    return versions


def _metric(version: "ModelVersion", metric: str) -> str:
    tags: dict[str, str] = version.tags
    assert better(metric) is not None
    return tags.get(f"test_{metric}") or tags.get(metric, "")


def _why(last: Transition, version: int) -> str:
    said = f": {last.reason}" if last.reason else ""
    if last.version != version:
        return f"{'rolled back' if last.how == 'rollback' else 'replaced'} by version {last.version}{said}"
    return f"{last.how}{said}"


def _moved_elsewhere(versions: list["ModelVersion"], moves: list[Transition]) -> list[str]:
    """Return a note for each version whose stage is not what the history leaves it in: changed elsewhere."""
    notes = []
    for version in versions:
        last = last_of(moves, int(version.version))
        expected = "None" if last is None else last.stage if last.version == int(version.version) else "Archived"
        if expected != version.current_stage:
            notes.append(
                f"note: version {version.version} is in {version.current_stage}, where no recorded move put it: "
                "it was moved by MLflow's page or another program"
            )
    return notes


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).replace("-", "0", 1).replace("e", "", 1).replace("+", "", 1).isdigit()

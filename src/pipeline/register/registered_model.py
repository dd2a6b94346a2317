"""registered_model.json, the output of stage model_register: what the registry says of the version it registered."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.register.finished_run import FinishedRun
from pipeline.register.versions import EXCLUSIVE
from pipeline.store.lookup import find_version
from pipeline.support.files import write_json
from pipeline.support.paths import REGISTERED_MODEL

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion


@contextmanager
def rewriting_registered_model(folder: Path) -> Iterator[dict[str, Any] | None]:
    """Remove the file while the registry changes, and yield what it said; the block writes it anew.

    When the block does not end well, `dvc repro` finds the file missing, runs the stage again, and so recovers.
    """
    file = folder / REGISTERED_MODEL
    try:
        before = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        before = None
    file.unlink(missing_ok=True)
    yield before if isinstance(before, dict) else None


def write_registered_model(
    client: "MlflowClient", run: FinishedRun, version: "ModelVersion", folder: Path
) -> dict[str, Any]:
    """Write what the registry says of a version, and return it."""
    registered = {
        "name": version.name,
        "version": int(version.version),
        **_stage(client.get_model_version(version.name, str(version.version))),
        "run_id": run.run_id,
        "model_id": run.model_id,
        "model_uri": f"models:/{version.name}/{version.version}",
        "metrics": run.metrics,
        **run.tags,
    }
    write_json(folder / REGISTERED_MODEL, registered)
    return registered


def update_registered_model(client: "MlflowClient", before: dict[str, Any] | None, folder: Path) -> None:
    """Write the file as it was, with the stage that its version has now; none of a version that is gone."""
    if before is None or not {"name", "version"} <= before.keys():
        return
    version = find_version(client, str(before["name"]), int(before["version"]))
    if version:
        write_json(folder / REGISTERED_MODEL, {**before, **_stage(version)})


def _stage(version: "ModelVersion") -> dict[str, str | None]:
    stage = str(version.current_stage)
    return {"stage": stage, "alias": stage.lower() if stage in EXCLUSIVE else None}

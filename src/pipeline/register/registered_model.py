"""Write registered_model.json, the output of stage model_register that describes the registered version."""

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
    """Remove the file while the registry changes, and yield its previous content; the block writes it again.

    If the block fails, `dvc repro` finds the file missing, runs the stage again, and so recovers.
    """
    file = folder / REGISTERED_MODEL
    try:
        previous = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        previous = None
    file.unlink(missing_ok=True)
    yield previous if isinstance(previous, dict) else None


def write_registered_model(
    client: "MlflowClient", run: FinishedRun, version: "ModelVersion", folder: Path
) -> dict[str, Any]:
    """Write the description of a registered version, and return it."""
    description = {
        "name": version.name,
        "version": int(version.version),
        **_stage(client.get_model_version(version.name, str(version.version))),
        "run_id": run.run_id,
        "model_id": run.model_id,
        "model_uri": f"models:/{version.name}/{version.version}",
        "metrics": run.metrics,
        **run.tags,
    }
    write_json(folder / REGISTERED_MODEL, description)
    return description


def update_registered_model(client: "MlflowClient", previous: dict[str, Any] | None, folder: Path) -> None:
    """Write the previous content with the current stage of its version; do nothing if the version is gone."""
    if previous is None or not {"name", "version"} <= previous.keys():
        return
    version = find_version(client, str(previous["name"]), int(previous["version"]))
    if version:
        write_json(folder / REGISTERED_MODEL, {**previous, **_stage(version)})


def _stage(version: "ModelVersion") -> dict[str, str | None]:
    stage = str(version.current_stage)
    return {"stage": stage, "alias": stage.lower() if stage in EXCLUSIVE else None}

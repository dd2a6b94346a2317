"""Complete or undo what killed registrations left, before the registry is changed again."""

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.register import history
from pipeline.register.export.export import (
    export_folder,
    exported_run,
    exports_root,
    is_intact,
    is_latest,
    point_latest_to,
    unlink_latest,
)
from pipeline.register.versions import CREATED_BY, PENDING, align_aliases, remove_empty_model, version_in_stage
from pipeline.store.lookup import search_all
from pipeline.store.stale_runs import ignore_permission_denied
from pipeline.support.paths import remove_unfinished_outputs
from pipeline.support.processes import is_owner_gone
from pipeline.support.progress import progress

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import RegisteredModel


def recover(client: "MlflowClient", name: str, folder: Path) -> None:
    """Complete the transitions that were made, and remove the transitions, versions and models that were only started.

    This covers ended processes of this host only, and must be called under `registry_lock`. ``latest`` is pointed to
    the export of the production version of `name`, if it has an intact one.
    """
    remove_unfinished_outputs(folder)
    for model in search_all(client.search_registered_models):
        with ignore_permission_denied():
            _complete_transitions(client, model)
            _remove_pending_versions(client, model, folder)
            if is_owner_gone(model.tags.get(CREATED_BY, "")):
                remove_empty_model(client, model.name)
    current = version_in_stage(client, name, "Production")
    if current is None:
        unlink_latest(client, name, exports_root(folder))
        return
    export = export_folder(exports_root(folder), current)
    if is_intact(client, current, export) and not is_latest(export):
        point_latest_to(export)
        progress(f"recovered: latest points to {export.name}, the production version")


def _complete_transitions(client: "MlflowClient", model: "RegisteredModel") -> None:
    for entry in history.history(client, model.name):
        if entry.done or not is_owner_gone(entry.owner):
            continue
        versions = client.search_model_versions(f"name = '{model.name}'")
        stages = {int(version.version): version.current_stage for version in versions}
        if stages.get(entry.version) == entry.stage:
            align_aliases(client, model.name)
            history.mark_done(client, model.name, entry)
            progress(f"recovered: completed the transition of {model.name} version {entry.version} to {entry.stage}")
        else:
            history.delete(client, model.name, entry)
            progress(
                f"recovered: removed the unfinished transition of {model.name} version {entry.version} to {entry.stage}"
            )


def _remove_pending_versions(client: "MlflowClient", model: "RegisteredModel", folder: Path) -> None:
    for version in client.search_model_versions(f"name = '{model.name}'"):
        if PENDING not in version.tags:
            continue
        pending = json.loads(version.tags[PENDING])
        if not is_owner_gone(pending["owner"]):
            continue
        if version.current_stage != "None":  # the registration is complete, but was not marked so
            client.delete_model_version_tag(version.name, str(version.version), PENDING)
            continue
        export = export_folder(Path(pending["exports"]), version)
        # Keep exports of an earlier store, and exports in use by a store that this one was copied from.
        if export.parent == exports_root(folder) and exported_run(export) == version.run_id and not is_latest(export):
            shutil.rmtree(export)
        client.delete_model_version(version.name, str(version.version))
        progress(f"recovered: removed {version.name} version {version.version}, whose registration was interrupted")

"""What killed registrations left is finished or taken back before the registry is changed again."""

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.register import history
from pipeline.register.export.export import (
    export_folder,
    exported_run,
    exports_of,
    is_sound,
    point_latest_at,
    points_at,
    take_latest_away,
)
from pipeline.register.versions import MADE_BY, PENDING, align_aliases, in_stage, remove_empty_model
from pipeline.store.lookup import pages
from pipeline.store.stale_runs import another_users_left_alone
from pipeline.support.paths import sweep_outputs
from pipeline.support.processes import is_owner_gone
from pipeline.support.progress import progress

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import RegisteredModel


def recover(client: "MlflowClient", name: str, folder: Path) -> None:
    """Finish the moves that were made, and take back the moves, versions and models that were only begun.

    Only what processes of this host left that are gone; to be called under `registry_lock`. ``latest`` is made to
    point at the export of the version of `name` in Production, where that has a sound one.
    """
    sweep_outputs(folder)
    for model in pages(client.search_registered_models):
        with another_users_left_alone():
            _finish_moves(client, model)
            _take_back_versions(client, model, folder)
            if is_owner_gone(model.tags.get(MADE_BY, "")):
                remove_empty_model(client, model.name)
    current = in_stage(client, name, "Production")
    if current is None:
        take_latest_away(client, name, exports_of(folder))
        return
    export = export_folder(exports_of(folder), current)
    if is_sound(client, current, export) and not points_at(export):
        point_latest_at(export)
        progress(f"recovered: latest points at {export.name}, the version in Production")


def _finish_moves(client: "MlflowClient", model: "RegisteredModel") -> None:
    for move in history.history(client, model.name):
        if move.done or not is_owner_gone(move.owner):
            continue
        versions = client.search_model_versions(f"name = '{model.name}'")
        stages = {int(version.version): version.current_stage for version in versions}
        if stages.get(move.version) == move.stage:
            align_aliases(client, model.name)
            history.done(client, model.name, move)
            progress(f"recovered: the move of {model.name} version {move.version} to {move.stage} is finished")
        else:
            history.forget(client, model.name, move)
            progress(f"recovered: the move of {model.name} version {move.version} to {move.stage} had not been made")


def _take_back_versions(client: "MlflowClient", model: "RegisteredModel", folder: Path) -> None:
    for version in client.search_model_versions(f"name = '{model.name}'"):
        if PENDING not in version.tags:
            continue
        pending = json.loads(version.tags[PENDING])
        if not is_owner_gone(pending["owner"]):
            continue
        if version.current_stage != "None":  # it was only not yet marked as whole
            client.delete_model_version_tag(version.name, str(version.version), PENDING)
            continue
        export = export_folder(Path(pending["exports"]), version)
        # Not what an earlier store exported under that number, nor what a store that this is a copy of uses.
        if export.parent == exports_of(folder) and exported_run(export) == version.run_id and not points_at(export):
            shutil.rmtree(export)
        client.delete_model_version(version.name, str(version.version))
        progress(f"recovered: {version.name} version {version.version}, whose registration was killed, is taken back")

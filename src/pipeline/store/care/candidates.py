"""Which runs of a store may be pruned: failed ones, and finished experiments of which no version was made."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.store.care.orphans import EXPERIMENT_STAGES
from pipeline.store.lookup import pages
from pipeline.support.paths import BEST_MODEL_INFO, PROJECT, checkout_of

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

SKIPPED = {".git", ".dvc", ".venv", "mlruns", "node_modules"}
PARENT = "mlflow.parentRunId"


@dataclass(frozen=True)
class RunTree:
    """A run that may go, with the runs nested in it, and the logged models of all.

    Attributes
    ----------
    root : Run
    run_ids : list of str
        Nested ones first.
    model_ids : list of str
    experiment : str
    """

    root: "Run"
    run_ids: list[str]
    model_ids: list[str]
    experiment: str


@dataclass(frozen=True)
class Kept:
    """Runs and logged models that must stay: what versions name, and the winners that pipelines wrote down."""

    run_ids: set[str]
    model_ids: set[str]


def trees_to_prune(client: "MlflowClient", ended_before: int, deleted_too: bool) -> list[RunTree]:
    """Return what may go.

    Parameters
    ----------
    client : MlflowClient
    ended_before : int
        Milliseconds since the epoch.
    deleted_too : bool
        Whether runs that are marked as deleted count as well.
    """
    from mlflow.entities import ViewType

    view = ViewType.ALL if deleted_too else ViewType.ACTIVE_ONLY
    kept, found = kept_of(client), []
    for experiment in pages(client.search_experiments, view_type=view):
        number = str(experiment.experiment_id)
        runs = {run.info.run_id: run for run in pages(client.search_runs, [number], "", view, 1000)}
        models: dict[str, list[str]] = {}
        for model in pages(client.search_logged_models, [number]):
            models.setdefault(model.source_run_id or "", []).append(model.model_id)
        nested: dict[str, list[str]] = {}
        for run_id, run in runs.items():
            if run.data.tags.get(PARENT) in runs:
                nested.setdefault(run.data.tags[PARENT], []).append(run_id)
        of_parents = {child for children in nested.values() for child in children}
        for root in sorted(runs.keys() - of_parents, key=lambda one: (runs[one].info.start_time or 0, one)):
            run_ids = _below(root, nested)
            model_ids = [model for run_id in run_ids for model in models.get(run_id, [])]
            tree = RunTree(runs[root], run_ids, model_ids, experiment.name)
            if (
                _is_done_for(tree.root)
                and all(_is_old(runs[run_id], ended_before) for run_id in run_ids)
                and kept.run_ids.isdisjoint(run_ids)
                and kept.model_ids.isdisjoint(model_ids)
            ):
                found.append(tree)
    return found


def kept_of(client: "MlflowClient") -> Kept:
    """Return what every version of every registered model names, and every pipeline folder's winner."""
    kept = Kept(_winners(), set())
    for version in pages(client.search_model_versions):
        kept.run_ids.add(version.run_id or "")
        for uri in (version.source, client.get_model_version_download_uri(version.name, version.version)):
            kept.model_ids.update(part for part in str(uri).replace(":", "/").split("/") if part.startswith("m-"))
            kept.run_ids.update(part for part in str(uri).replace(":", "/").split("/") if len(part) == 32)
    return kept


def _winners() -> set[str]:
    """Return the runs that the pipeline folders of this checkout, and the current one, name as best."""
    places = [Path(BEST_MODEL_INFO)]
    folders = [checkout_of(PROJECT)]
    while folders:
        folder = folders.pop()
        places.append(folder / BEST_MODEL_INFO)
        folders += [
            one for one in folder.iterdir() if one.is_dir() and one.name not in SKIPPED and not one.is_symlink()
        ]
    found = set()
    for place in places:
        if place.is_file():
            try:
                found.add(str(json.loads(place.read_text(encoding="utf-8"))["mlflow_run_id"]))
            except (ValueError, KeyError, TypeError):  # names no run
                continue
    return found


def _below(root: str, nested: dict[str, list[str]]) -> list[str]:
    """Return a run after all that are nested in it."""
    return [one for child in nested.get(root, []) for one in _below(child, nested)] + [root]


def _is_done_for(run: "Run") -> bool:
    """Return whether a run failed, or was an experiment, or belongs to a run that is gone."""
    tags = run.data.tags
    return run.info.status in ("FAILED", "KILLED") or tags.get("stage") in EXPERIMENT_STAGES or PARENT in tags


def _is_old(run: "Run", ended_before: int) -> bool:
    return (
        run.info.status not in ("RUNNING", "SCHEDULED")
        and (run.info.end_time or run.info.start_time or 0) < ended_before
    )

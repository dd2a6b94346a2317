"""Find the runs that can be pruned: failed ones, and finished experiments that were never registered."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.store.lookup import search_all
from pipeline.store.maintenance.orphans import EXPERIMENT_STAGES
from pipeline.support.paths import BEST_MODEL_INFO, PROJECT, main_checkout_path

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

SKIPPED_FOLDERS = {".git", ".dvc", ".venv", "mlruns", "node_modules"}
PARENT = "mlflow.parentRunId"


@dataclass(frozen=True)
class RunTree:
    """A run that can be pruned, with its nested runs and their logged models.

    Attributes
    ----------
    root : Run
    run_ids : list of str
        All runs of the tree, nested ones first.
    model_ids : list of str
        The logged models of all these runs.
    experiment : str
        The experiment's name.
    """

    root: "Run"
    run_ids: list[str]
    model_ids: list[str]
    experiment: str


@dataclass(frozen=True)
class Kept:
    """The IDs of runs and logged models that must be kept: those of registered versions and of pipelines' best runs."""

    run_ids: set[str]
    model_ids: set[str]


def trees_to_prune(client: "MlflowClient", ended_before: int, include_deleted: bool) -> list[RunTree]:
    """Return the runs that can be pruned, as trees.

    Parameters
    ----------
    client : MlflowClient
    ended_before : int
        Milliseconds since the epoch; only trees whose runs all ended before are returned.
    include_deleted : bool
        Whether to include runs that are marked as deleted.
    """
    from mlflow.entities import ViewType

    view = ViewType.ALL if include_deleted else ViewType.ACTIVE_ONLY
    kept, found = find_kept(client), []
    for experiment in search_all(client.search_experiments, view_type=view):
        experiment_id = str(experiment.experiment_id)
        runs = {run.info.run_id: run for run in search_all(client.search_runs, [experiment_id], "", view, 1000)}
        models: dict[str, list[str]] = {}
        for model in search_all(client.search_logged_models, [experiment_id]):
            models.setdefault(model.source_run_id or "", []).append(model.model_id)
        nested: dict[str, list[str]] = {}
        for run_id, run in runs.items():
            if run.data.tags.get(PARENT) in runs:
                nested.setdefault(run.data.tags[PARENT], []).append(run_id)
        children = {child for siblings in nested.values() for child in siblings}
        for root in sorted(runs.keys() - children, key=lambda run_id: (runs[run_id].info.start_time or 0, run_id)):
            run_ids = _post_order(root, nested)
            model_ids = [model for run_id in run_ids for model in models.get(run_id, [])]
            tree = RunTree(runs[root], run_ids, model_ids, experiment.name)
            if (
                _is_prunable(tree.root)
                and all(_is_old(runs[run_id], ended_before) for run_id in run_ids)
                and kept.run_ids.isdisjoint(run_ids)
                and kept.model_ids.isdisjoint(model_ids)
            ):
                found.append(tree)
    return found


def find_kept(client: "MlflowClient") -> Kept:
    """Return the runs and models of all registered versions, and the best run of every pipeline folder."""
    kept = Kept(_best_run_ids(), set())
    for version in search_all(client.search_model_versions):
        kept.run_ids.add(version.run_id or "")
        for uri in (version.source, client.get_model_version_download_uri(version.name, version.version)):
            kept.model_ids.update(part for part in str(uri).replace(":", "/").split("/") if part.startswith("m-"))
            kept.run_ids.update(part for part in str(uri).replace(":", "/").split("/") if len(part) == 32)
    return kept


def _best_run_ids() -> set[str]:
    """Return the best runs recorded in the working directory and in all pipeline folders of this checkout."""
    paths = [Path(BEST_MODEL_INFO)]
    folders = [main_checkout_path(PROJECT)]
    while folders:
        folder = folders.pop()
        paths.append(folder / BEST_MODEL_INFO)
        folders += [
            child
            for child in folder.iterdir()
            if child.is_dir() and child.name not in SKIPPED_FOLDERS and not child.is_symlink()
        ]
    run_ids = set()
    for path in paths:
        if path.is_file():
            try:
                run_ids.add(str(json.loads(path.read_text(encoding="utf-8"))["mlflow_run_id"]))
            except (ValueError, KeyError, TypeError):  # the file names no run
                continue
    return run_ids


def _post_order(root: str, nested: dict[str, list[str]]) -> list[str]:
    """Return a run and the runs nested in it, nested ones first."""
    return [run_id for child in nested.get(root, []) for run_id in _post_order(child, nested)] + [root]


def _is_prunable(run: "Run") -> bool:
    """Return whether a run failed, is an experiment, or is nested in a run that no longer exists."""
    tags = run.data.tags
    return run.info.status in ("FAILED", "KILLED") or tags.get("stage") in EXPERIMENT_STAGES or PARENT in tags


def _is_old(run: "Run", ended_before: int) -> bool:
    return (
        run.info.status not in ("RUNNING", "SCHEDULED")
        and (run.info.end_time or run.info.start_time or 0) < ended_before
    )

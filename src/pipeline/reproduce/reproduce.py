"""Train a version again in a temporary clone, and report the differences."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import PipelineError
from pipeline.reproduce.clone import pipeline_folder_of_clone, scripts_folder, temporary_clone, write_params
from pipeline.reproduce.compare import differences, package_differences, table
from pipeline.reproduce.data import find_data
from pipeline.reproduce.original import OriginalTraining, Result, original_training, packages
from pipeline.reproduce.training import result_in, train_again
from pipeline.store.open import open_store
from pipeline.support.git import git
from pipeline.support.gpu import gpu_description
from pipeline.support.paths import main_checkout_path
from pipeline.support.progress import progress
from pipeline.train.device import gpu_problem
from pipeline.train.provenance import environment


@dataclass(frozen=True)
class Reproduction:
    """The result of training a version again.

    Attributes
    ----------
    is_identical : bool
        Whether metrics, tables and model file are exactly the same.
    report : str
        'identical', or a table of the differences.
    """

    is_identical: bool
    report: str


def reproduce(name: str, number: int, folder: Path) -> Reproduction:
    """Train a registered version again.

    The training runs in a temporary clone with its own store; the repository and the store are not changed.

    Parameters
    ----------
    name : str
        Name of the registered model.
    number : int
        Number of the version.
    folder : Path
        The pipeline folder.

    Returns
    -------
    Reproduction

    Raises
    ------
    PipelineError
        If the version, run, commit, data or GPU is missing, or the training fails.
    """
    original = original_training(open_store(), name, number)
    if original.device == "cuda" and (problem := gpu_problem()):
        raise PipelineError(
            f"{name} version {number} was trained on a GPU ({original.gpu_name or 'unknown'}), but {problem}",
            "run this on a machine with such a GPU: a training on the CPU gives another model",
        )
    here = main_checkout_path(folder)
    top = git(here, "rev-parse", "--show-toplevel")
    if top is None:
        raise PipelineError(f"{here} is not in a git repository", "run this in a clone of the project")
    _report_progress(
        f"{name} version {number} is run {original.run_id} ({original.run_name}) of commit {original.commit}"
    )
    for note in _notes(original):
        _report_progress(note)
    with temporary_clone(Path(top), original.commit) as clone, tempfile.TemporaryDirectory() as store:
        clone_folder = pipeline_folder_of_clone(clone, original.pipeline_folder)
        data = find_data(original, Path(top), clone)
        _report_progress(f"the table {data.path} was {data.origin}; training again in a temporary clone")
        write_params(clone_folder, original, data.path)
        uri = train_again(clone_folder, scripts_folder(clone, clone_folder), Path(store))
        result = result_in(uri, original)
    return Reproduction(not differences(original.result, result), _format_report(original, result, number))


def _report_progress(text: str) -> None:
    progress(f"reproduce: {text}")


def _notes(original: OriginalTraining) -> list[str]:
    notes = []
    if original.is_dirty:
        notes.append("tracked files differed from the commit (git_dirty), so other code may have run")
    if original.has_time_budget:
        notes.append("a time budget ended the search (train.search.time_budget), so another model may result")
    if original.device == "cuda" and (name := gpu_description().get("name", "unknown")) != original.gpu_name:
        notes.append(f"the GPU was {original.gpu_name or 'unknown'} and is now {name}, so another model may result")
    return notes


def _format_report(original: OriginalTraining, result: Result, number: int) -> str:
    different = differences(original.result, result)
    other_packages = package_differences(original.packages, packages(environment()))
    header, count = (f"version {number}", "trained again"), len(original.result.metrics)
    if not different:
        others = f"; {len(other_packages)} installed packages differ" if other_packages else ""
        return f"identical: {count} metrics, the tables, and the model file {result.hashes['model file']}{others}"
    lines = ["differs:", table(("result", *header), different)]
    if other_packages:
        lines += ["installed packages that differ:", table(("package", *header), other_packages)]
    else:
        lines += ["the installed packages are the same"]
    return "\n".join([*lines, *(f"note: {note}" for note in _notes(original))])

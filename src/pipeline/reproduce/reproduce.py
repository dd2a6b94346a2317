"""Repeat a version's training in a clone, and report what differs."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import PipelineError
from pipeline.reproduce.clone import clone_of, folder_in, scripts_of, write_params
from pipeline.reproduce.compare import differences, package_differences, table
from pipeline.reproduce.data import find_data
from pipeline.reproduce.original import OriginalTraining, Result, original_training, packages
from pipeline.reproduce.training import result_in, train_again
from pipeline.store.open import open_store
from pipeline.support.git import git
from pipeline.support.paths import checkout_of
from pipeline.support.progress import progress
from pipeline.train.provenance import environment


@dataclass(frozen=True)
class Reproduction:
    """What came of training a version again.

    Attributes
    ----------
    is_identical : bool
        Whether metrics, tables and model file are exactly the same.
    report : str
        'identical', or what differs, for people.
    """

    is_identical: bool
    report: str


def reproduce(name: str, number: int, folder: Path) -> Reproduction:
    """Train a registered version again.

    Neither the repository nor the store is changed: it is trained in a temporary clone, with a store of its own.

    Parameters
    ----------
    name : str
        Of the registered model.
    number : int
        Of the version.
    folder : Path
        The pipeline folder.

    Returns
    -------
    Reproduction

    Raises
    ------
    PipelineError
        When version, run, commit or data are not there (any more), or the training fails.
    """
    original = original_training(open_store(), name, number)
    here = checkout_of(folder)
    top = git(here, "rev-parse", "--show-toplevel")
    if top is None:
        raise PipelineError(f"{here} is not in a git repository", "run this in a clone of the project")
    _tell(f"{name} version {number} is {original.run_name}, run {original.run_id}, of commit {original.commit}")
    for note in _notes(original):
        _tell(note)
    with clone_of(Path(top), original.commit) as clone, tempfile.TemporaryDirectory() as store:
        there = folder_in(clone, original.pipeline_folder)
        data = find_data(original, Path(top), clone)
        _tell(f"the table is {data.path}: {data.where}; training again in a temporary clone")
        write_params(there, original, data.path)
        uri = train_again(there, scripts_of(clone, there), Path(store))
        again = result_in(uri, original)
    return Reproduction(not differences(original.result, again), _report(original, again, number))


def _tell(text: str) -> None:
    progress(f"reproduce: {text}")


def _notes(original: OriginalTraining) -> list[str]:
    notes = []
    if original.dirty:
        notes.append("tracked files differed from the commit then (git_dirty): other code than it has may have run")
    if original.timed:
        notes.append("a time budget ended its search (train.search.time_budget): another model may well come out")
    return notes


def _report(original: OriginalTraining, again: Result, number: int) -> str:
    different = differences(original.result, again)
    other_packages = package_differences(original.packages, packages(environment()))
    header, count = (f"version {number}", "trained again"), len(original.result.metrics)
    if not different:
        others = f"; {len(other_packages)} installed packages differ" if other_packages else ""
        return f"identical: {count} metrics, the tables, and the model file {again.hashes['model file']}{others}"
    lines = ["differs:", table(("what", *header), different)]
    if other_packages:
        lines += ["installed packages that differ:", table(("package", *header), other_packages)]
    else:
        lines += ["the same packages are installed"]
    return "\n".join([*lines, *(f"note: {note}" for note in _notes(original))])

"""The whole of it: a version's training is repeated in a clone, and what differs is told."""

import tempfile
from pathlib import Path

from pipeline.errors import PipelineError
from pipeline.reproduce.clone import clone_of, folder_in, scripts_of, write_params
from pipeline.reproduce.compare import Difference, differences, package_differences, table
from pipeline.reproduce.data import find_data
from pipeline.reproduce.original import Recorded, Result, packages, recorded
from pipeline.reproduce.training import result_in, train_again
from pipeline.store.open import open_store
from pipeline.support.git import git
from pipeline.support.paths import checkout_of
from pipeline.train.provenance import environment


def reproduce(name: str, number: int, folder: Path) -> bool:
    """Train a registered version again and print 'identical', or what differs.

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
    bool
        Whether metrics, tables and model file are exactly the same.

    Raises
    ------
    PipelineError
        When version, run, commit or data are not there (any more), or the training fails.
    """
    before = recorded(open_store(), name, number)
    here = checkout_of(folder)
    top = git(here, "rev-parse", "--show-toplevel")
    if top is None:
        raise PipelineError(f"{here} is not in a git repository", "run this in a clone of the project")
    repository = Path(top)
    place = before.pipeline_folder or here.relative_to(repository).as_posix()
    _say(f"{name} version {number} is {before.run_name}, run {before.run_id}, of commit {before.commit}")
    for note in _notes(before):
        _say(note)
    with clone_of(repository, before.commit) as clone, tempfile.TemporaryDirectory() as store:
        there = folder_in(clone, place)
        data = find_data(before, repository, place, clone)
        _say(f"the table is {data.path}: {data.where}; training again in a temporary clone")
        write_params(there, before, data.path)
        uri = train_again(there, scripts_of(clone, there), Path(store))
        now = result_in(uri, before)
    different = differences(before.result, now)
    print(_told(before, now, different, package_differences(before.packages, packages(environment())), number))
    return not different


def _say(text: str) -> None:
    print(f"reproduce: {text}", flush=True)


def _notes(before: Recorded) -> list[str]:
    notes = []
    if before.dirty:
        notes.append("tracked files differed from the commit then (git_dirty): other code than it has may have run")
    if before.timed:
        notes.append("a time budget ended its search (train.search.time_budget): another model may well come out")
    return notes


def _told(
    before: Recorded, now: Result, different: list[Difference], other_packages: list[Difference], number: int
) -> str:
    header, count = (f"version {number}", "trained again"), len(before.result.metrics)
    if not different:
        others = f"; {len(other_packages)} installed packages differ" if other_packages else ""
        return f"identical: {count} metrics, the tables, and the model file {now.hashes['model file']}{others}"
    lines = ["differs:", table(("what", *header), different)]
    if other_packages:
        lines += ["installed packages that differ:", table(("package", *header), other_packages)]
    else:
        lines += ["the same packages are installed"]
    return "\n".join([*lines, *(f"note: {note}" for note in _notes(before))])

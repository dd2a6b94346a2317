"""Verify that the files of a logged model are those that its run wrote.

Loading a model executes Python code that MLmodel and code/ determine, so all files are verified first.
"""

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from pipeline.errors import RegistryError
from pipeline.features.transformer import FEATURES_FILE
from pipeline.support.files import sha256

# Tags of a run and of its model version: the SHA-256 of the fitted estimator's file, and of all files.
MODEL_SHA256, LOGGED_SHA256 = "model_sha256", "logged_model_sha256"
PYCACHE = "__pycache__"  # written by Python when it imports the model's code
ADDED_LATER = {"registered_model_meta", PYCACHE}  # MLflow adds the former to a download


def logged_sha256(folder: Path) -> str:
    """Return one SHA-256 for the names and contents of all files of a logged model.

    It is the SHA-256 of the output of ``sha256sum`` for the files, sorted by name.
    """
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    lines = [f"{sha256(folder / name)}  {name}\n" for name in names if not ADDED_LATER & set(name.split("/"))]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def file_problems(folder: Path, tag_source: str, tags: Mapping[str, str]) -> list[str]:
    """Return the differences between the files of a logged model and the SHA-256 values recorded in tags.

    Parameters
    ----------
    folder : Path
        The files of the logged model.
    tag_source : {"run", "version"}
        What the tags belong to, for the messages.
    tags : mapping of str to str

    Returns
    -------
    list of str
        One message per problem; empty if the files are those that the run wrote.
    """
    try:
        name = str(json.loads((folder / FEATURES_FILE).read_text(encoding="utf-8"))["model_file"])
        if Path(name).name != name:
            return [f"{FEATURES_FILE} of the store's model names {name!r}, which is not one of its files"]
        digests = {MODEL_SHA256: sha256(folder / name), LOGGED_SHA256: logged_sha256(folder)}
    except (OSError, ValueError, KeyError, TypeError) as error:
        return [f"{FEATURES_FILE} of the store's model, or the file it names, cannot be read: {_first_line(error)}"]
    problems = []
    for tag, subject in ((MODEL_SHA256, name), (LOGGED_SHA256, "some file")):
        if tag not in tags:
            problems.append(f"the {tag_source} has no tag {tag}")
        elif tags[tag] != digests[tag]:
            problems.append(
                f"{subject} of the store's model does not match the {tag_source}'s tag {tag} (SHA-256 differs)"
            )
    return problems


def download(uri: str, folder: Path) -> list[str]:
    """Download the files of a logged model to `folder`.

    Returns
    -------
    list of str
        Empty on success; otherwise one message with the reason.
    """
    import mlflow
    from mlflow.exceptions import MlflowException

    try:
        mlflow.artifacts.download_artifacts(uri, dst_path=str(folder))
    except (MlflowException, OSError) as error:
        return [f"the files of {uri} are not in the store: {_first_line(error)}"]
    for cache in list(folder.rglob(PYCACHE)):
        shutil.rmtree(cache)
    return []


def download_verified(uri: str, tags: Mapping[str, str], folder: Path, remedy: str) -> None:
    """Download the files of a logged model and verify that they are those that its run wrote.

    Parameters
    ----------
    uri : str
        ``models:/…``.
    tags : mapping of str to str
        The run's tags.
    folder : Path
        Created; its content must not be used if this raises.
    remedy : str
        Remedy for the error message.

    Raises
    ------
    RegistryError
        If the files are not in the store, or differ from what the run wrote.
    """
    if problems := download(uri, folder):
        raise RegistryError(problems[0], remedy)
    if problems := file_problems(folder, "run", tags):
        raise RegistryError(f"the files of {uri} are not those that its run wrote: {problems[0]}", remedy)


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]

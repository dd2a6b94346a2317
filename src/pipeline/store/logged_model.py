"""The files of a logged model: are they what its run wrote? MLmodel and code/ say what Python is run to load it."""

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from pipeline.errors import RegistryError
from pipeline.features.transformer import FEATURES_FILE
from pipeline.support.files import sha256

# Tags of a run and of its version: the SHA-256 of the file with the fitted estimator, and that of all files.
MODEL_SHA256, LOGGED_SHA256 = "model_sha256", "logged_model_sha256"
COMPILED = "__pycache__"  # Python writes it beside code that has run
ADDED = {"registered_model_meta", COMPILED}  # the former by MLflow, to what it fetches


def logged_sha256(folder: Path) -> str:
    """Return one SHA-256 of the names and contents of all files of a logged model.

    It is that of the lines that ``sha256sum`` prints for them, sorted by name.
    """
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    lines = [f"{sha256(folder / name)}  {name}\n" for name in names if not ADDED & set(name.split("/"))]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def file_problems(folder: Path, whose: str, tags: Mapping[str, str]) -> list[str]:
    """Return what is wrong with the files of a logged model, by the SHA-256 that tags record.

    Parameters
    ----------
    folder : Path
    whose : {"run", "version"}
        The tags, for the messages.
    tags : mapping of str to str

    Returns
    -------
    list of str
        Empty when the files are those that the run wrote.
    """
    try:
        name = str(json.loads((folder / FEATURES_FILE).read_text(encoding="utf-8"))["model_file"])
        if Path(name).name != name:
            return [f"{FEATURES_FILE} of the store's model names {name!r}, which is not one of its files"]
        found = {MODEL_SHA256: sha256(folder / name), LOGGED_SHA256: logged_sha256(folder)}
    except (OSError, ValueError, KeyError, TypeError) as error:
        return [f"{FEATURES_FILE} of the store's model, or the file it names, cannot be read: {_first_line(error)}"]
    problems = []
    for tag, what in ((MODEL_SHA256, name), (LOGGED_SHA256, "some file")):
        if tag not in tags:
            problems.append(f"the {whose} has no tag {tag}")
        elif tags[tag] != found[tag]:
            problems.append(f"{what} of the store's model is not that of the {whose}'s tag {tag} (SHA-256 differs)")
    return problems


def download(uri: str, folder: Path) -> list[str]:
    """Fetch the files of a logged model, or return why there are none."""
    import mlflow
    from mlflow.exceptions import MlflowException

    try:
        mlflow.artifacts.download_artifacts(uri, dst_path=str(folder))
    except (MlflowException, OSError) as error:
        return [f"the files of {uri} are not in the store: {_first_line(error)}"]
    for compiled in list(folder.rglob(COMPILED)):
        shutil.rmtree(compiled)
    return []


def fetch_logged(uri: str, tags: Mapping[str, str], folder: Path, remedy: str) -> None:
    """Fetch the files of a logged model, if they are those that its run wrote.

    Parameters
    ----------
    uri : str
        ``models:/…``.
    tags : mapping of str to str
        Of the run.
    folder : Path
        Is made, and must not be used when this raises.
    remedy : str
        For the error.

    Raises
    ------
    RegistryError
        When they are not, or not in the store.
    """
    if missing := download(uri, folder):
        raise RegistryError(missing[0], remedy)
    if problems := file_problems(folder, "run", tags):
        raise RegistryError(f"the files of {uri} are not what its run wrote: {problems[0]}", remedy)


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]

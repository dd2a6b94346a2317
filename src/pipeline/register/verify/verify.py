"""Verify a version and its export; no model is loaded before all hashes are verified."""

import re
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import RegistryError
from pipeline.register.export.export import exports_root
from pipeline.register.export.files import EXPORT_COMMAND, export_problems
from pipeline.register.verify.checks import (
    Check,
    Subject,
    code,
    data,
    export_not_required,
    latest_is_production,
    make_check,
    registered,
    run_finished,
)
from pipeline.register.verify.file_checks import differences, metadata, metadata_sha256, model_files
from pipeline.register.verify.prediction_checks import prediction_problems
from pipeline.register.versions import version_in_stage
from pipeline.store.logged_model import download
from pipeline.store.lookup import find_run, find_version

if TYPE_CHECKING:
    from mlflow import MlflowClient

HASHES = ("metadata", "recorded", "files", "model files", "same as store")  # names of checks


def verify(client: "MlflowClient", model_name: str, folder: Path, version: int | None) -> list[Check]:
    """Check a version and its export against the store.

    Parameters
    ----------
    client : MlflowClient
    model_name : str
        Name of the registered model.
    folder : Path
        The pipeline folder.
    version : int, optional
        By default, the version whose export ``latest`` points to.

    Returns
    -------
    list of Check
        Models are loaded only if all checks of hashes pass.

    Raises
    ------
    RegistryError
        If there is neither a version nor an export with that number.
    """
    exports = exports_root(folder)
    number = _latest(client, model_name, exports) if version is None else version
    registered_version, export = find_version(client, model_name, number), exports / f"v{number:03d}"
    is_exported = export.exists() or export.is_symlink()
    if registered_version is None and version is not None and not is_exported:
        raise RegistryError(
            f"{model_name} has no version {number}, and {export} does not exist",
            "list the versions: python src/model_register.py --list",
        )
    if registered_version is None:
        reason = f"{model_name} has no version {number}: it was deleted, or belongs to another store"
        return [
            Check("registered", False, reason),
            make_check("files", export_problems(export), f"all files of {export.name} are as exported"),
            latest_is_production(client, model_name, exports),
        ]
    run = find_run(client, str(registered_version.run_id))
    subject = Subject(client, folder, registered_version, run, export if is_exported else None)
    with tempfile.TemporaryDirectory() as name:
        return [*_checks(subject, Path(name)), latest_is_production(client, model_name, exports)]


def report(checks: Sequence[Check]) -> str:
    """Return the checks as aligned lines, with a summary below."""
    width = max(len(check.name) for check in checks)
    separator = "\n" + " " * (width + 10)
    lines = []
    for check in checks:
        detail = check.detail.replace("; ", separator).replace(" -> ", f"{separator}-> ")
        lines.append(f"{'ok' if check.passed else 'FAILED':6}  {check.name:{width}}  {detail}")
    failed = [check.name for check in checks if not check.passed]
    if failed:
        return "\n".join([*lines, f"{len(failed)} of {len(checks)} checks failed: {', '.join(failed)}"])
    return "\n".join([*lines, f"all {len(checks)} checks passed"])


def _latest(client: "MlflowClient", name: str, exports: Path) -> int:
    """Return the version that ``latest`` points to, or should point to."""
    latest, production = exports / "latest", version_in_stage(client, name, "Production")
    if latest.is_symlink() and (match := re.fullmatch(r"v(\d{3,})", str(latest.readlink()))):
        return int(match[1])
    if production is None:
        raise RegistryError(
            f"{latest} does not exist: no version of {name} is in Production",
            "verify a version by number: --verify VERSION (python src/model_register.py --list shows them)",
        )
    return int(production.version)


def _checks(subject: Subject, temporary: Path) -> Iterator[Check]:
    store, export = temporary / "store", subject.export
    checks = [registered(subject), run_finished(subject), data(subject), code(subject)]
    if export:
        checks += [metadata(subject, export), metadata_sha256(subject.version, export)]
        checks += [
            make_check(
                "files", _with_remedy(export_problems(export), subject), f"all files of {export.name} are as exported"
            )
        ]
    else:
        checks += [export_not_required(subject.version)]
    missing = download(f"models:/{subject.version.name}/{subject.version.version}", store)
    checks += [make_check("model files", missing or model_files(subject, store), "as the run wrote them")]
    if export:
        problems = missing or differences(subject, export, store, temporary)
        checks += [make_check("same as store", _with_remedy(problems, subject), "all files of model/ are identical")]
    yield from checks
    if failed := [check.name for check in checks if check.name in HASHES and not check.passed]:
        yield Check(
            "predictions", False, f"skipped, as models are loaded only after these checks pass: {', '.join(failed)}"
        )
    else:
        success = "equal to the store's model for the input example" if export else "finite for the input example"
        yield make_check("predictions", prediction_problems(store, export), success)


def _with_remedy(problems: list[str], subject: Subject) -> list[str]:
    """Append the command that exports the version again to the last problem."""
    if not problems:
        return []
    return [*problems[:-1], f"{problems[-1]} -> {EXPORT_COMMAND} --run-id {subject.version.run_id}"]

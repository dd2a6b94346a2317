"""Whether a version and its export are what they claim to be; nothing is loaded before all hashes are right."""

import re
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import RegistryError
from pipeline.register.export.export import exports_of
from pipeline.register.export.files import EXPORT_AGAIN, damages
from pipeline.register.verify.checks import (
    Check,
    Subject,
    checked,
    code,
    data,
    latest_is_production,
    needs_no_export,
    registered,
    run_finished,
)
from pipeline.register.verify.file_checks import differences, metadata, metadata_sha256, model_files
from pipeline.register.verify.same_predictions import problems_of_answers
from pipeline.register.versions import in_stage
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
        Of the registered model.
    folder : Path
        The pipeline folder.
    version : int, optional
        The export that ``latest`` points at when absent.

    Returns
    -------
    list of Check
        Files are unpickled, and models asked for predictions, only when all checks of hashes have passed.

    Raises
    ------
    RegistryError
        When there is nothing of that number to verify.
    """
    exports = exports_of(folder)
    number = _latest(client, model_name, exports) if version is None else version
    found, export = find_version(client, model_name, number), exports / f"v{number:03d}"
    is_exported = export.exists() or export.is_symlink()
    if found is None and version is not None and not is_exported:
        raise RegistryError(
            f"{model_name} has no version {number}, and {export} does not exist",
            "see which there are: python src/model_register.py --list",
        )
    if found is None:
        gone = f"{model_name} has no version {number}: it was deleted, or is of another store"
        return [
            Check("registered", False, gone),
            checked("files", damages(export), f"all of {export.name} as exported"),
            latest_is_production(client, model_name, exports),
        ]
    run = find_run(client, str(found.run_id))
    subject = Subject(client, folder, found, run, export if is_exported else None)
    with tempfile.TemporaryDirectory() as name:
        return [*_checks(subject, Path(name)), latest_is_production(client, model_name, exports)]


def report(checks: Sequence[Check]) -> str:
    """Return checks as aligned lines, and what they come to."""
    width = max(len(check.name) for check in checks)
    below = "\n" + " " * (width + 10)
    lines = []
    for check in checks:
        detail = check.detail.replace("; ", below).replace(" -> ", f"{below}-> ")
        lines.append(f"{'ok' if check.passed else 'FAILED':6}  {check.name:{width}}  {detail}")
    failed = [check.name for check in checks if not check.passed]
    if failed:
        return "\n".join([*lines, f"{len(failed)} of {len(checks)} checks failed: {', '.join(failed)}"])
    return "\n".join([*lines, f"all {len(checks)} checks passed"])


def _latest(client: "MlflowClient", name: str, exports: Path) -> int:
    """Return the version that ``latest`` points at, or should."""
    latest, production = exports / "latest", in_stage(client, name, "Production")
    if latest.is_symlink() and (numbered := re.fullmatch(r"v(\d{3,})", str(latest.readlink()))):
        return int(numbered[1])
    if production is None:
        raise RegistryError(
            f"{latest} does not exist: no version of {name} is in Production",
            "verify another: --verify VERSION (python src/model_register.py --list shows them)",
        )
    return int(production.version)


def _checks(subject: Subject, temporary: Path) -> Iterator[Check]:
    store, export = temporary / "store", subject.export
    checks = [registered(subject), run_finished(subject), data(subject), code(subject)]
    if export:
        checks += [metadata(subject, export), metadata_sha256(subject.version, export)]
        checks += [checked("files", _with_remedy(damages(export), subject), f"all of {export.name} as exported")]
    else:
        checks += [needs_no_export(subject.version)]
    missing = download(f"models:/{subject.version.name}/{subject.version.version}", store)
    checks += [checked("model files", missing or model_files(subject, store), "those that the run wrote")]
    if export:
        different = missing or differences(subject, export, store, temporary)
        checks += [checked("same as store", _with_remedy(different, subject), "every file of model/, byte for byte")]
    yield from checks
    if wrong := [check.name for check in checks if check.name in HASHES and not check.passed]:
        yield Check("predictions", False, f"not tried: nothing is loaded before these are right: {', '.join(wrong)}")
    else:
        fine = "of the input example, equal to those of the store's model" if export else "of the input example, finite"
        yield checked("predictions", problems_of_answers(store, export), fine)


def _with_remedy(problems: list[str], subject: Subject) -> list[str]:
    """Add to the last problem of an export the command that exports it again."""
    if not problems:
        return []
    return [*problems[:-1], f"{problems[-1]} -> {EXPORT_AGAIN} --run-id {subject.version.run_id}"]

"""Export of a registered version to a folder, always loaded back from MLflow."""

import json
import tempfile
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd

from pipeline.errors import PipelineError, RegistryError
from pipeline.features.raw_rows_model import RawRowsModel
from pipeline.register.export.files import METADATA, damages
from pipeline.register.finished_run import FinishedRun
from pipeline.register.package import ONNX_FILE, ONNX_FOLDER, ONNX_SHA256, PACKAGED, TAG
from pipeline.store.logged_model import fetch_logged
from pipeline.support.files import read_json, replace_link, replacing_folder, sha256, write_json
from pipeline.support.paths import EXPORTS, checkout_of
from pipeline.support.progress import progress

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.models import Model

EXPORT_SHA256 = "export_sha256"  # tag of a version: of its export's metadata.json, which has those of all other files


def exports_of(folder: Path) -> Path:
    """Return the place of a pipeline folder's exports."""
    return checkout_of(folder) / EXPORTS


def export_folder(exports: Path, version: "ModelVersion") -> Path:
    """Return the folder of a version's export."""
    return exports / f"v{int(version.version):03d}"


def exported_run(export: Path) -> str | None:
    """Return the run that an export says it is of; None where there is no export, or a broken one."""
    try:
        return str(read_json(export / METADATA, "python src/model_register.py --stage Production", "run_id")["run_id"])
    except PipelineError:
        return None


def export_version(client: "MlflowClient", version: "ModelVersion", run: FinishedRun, folder: Path) -> Path:
    """Write a version to ``models/production/vNNN``, whole or not at all; a sound export of it stays as it is.

    Parameters
    ----------
    client : MlflowClient
    version : ModelVersion
    run : FinishedRun
        Its run.
    folder : Path
        The pipeline folder.

    Returns
    -------
    Path
        The export: model.pkl (the bare estimator), model/ (the MLflow model, raw rows in), model.onnx (the graph,
        where the model has one), metadata.json.

    Raises
    ------
    RegistryError
        When the exported model does not predict the stored input example as the store's model does, or the place
        holds the export of another store's run.
    """
    import joblib
    from mlflow.models import Model

    uri = f"models:/{version.name}/{version.version}"
    target = export_folder(exports_of(folder), version)
    _check_same_run(target, run.run_id)
    if is_sound(client, version, target):
        progress(f"model_register: {EXPORTS / target.name} is whole, and stays as it is")
        return target
    again = target.exists()
    with replacing_folder(target) as written:
        fetch_logged(uri, run.tags, written / "model", "train anew")
        model = Model.load(str(written / "model"))
        flavour = next(name for name in model.flavors if name != "python_function")
        loaded = import_module(f"mlflow.{flavour}").load_model(str(written / "model"))
        joblib.dump(loaded, written / "model.pkl")
        fetch_onnx(client, run.run_id, written)
        _check_same_predictions(uri, run, written / "model", model)
        write_json(written / METADATA, _metadata(version, run, written, model))
        digest = sha256(written / METADATA)
    client.set_model_version_tag(version.name, str(version.version), EXPORT_SHA256, digest)
    progress(f"model_register: exported to {EXPORTS / target.name}{', which was damaged, anew' if again else ''}")
    return target


def is_sound(client: "MlflowClient", version: "ModelVersion", export: Path) -> bool:
    """Return whether an export is there, whole, and the one that the registry knows."""
    if not (export / METADATA).exists():
        return False
    known = client.get_model_version(version.name, str(version.version)).tags.get(EXPORT_SHA256)
    return known == sha256(export / METADATA) and not damages(export)


def point_latest_at(export: Path) -> None:
    """Make ``latest`` beside `export` a link to it, in one step."""
    replace_link(export.parent / "latest", export.name)


def take_latest_away(client: "MlflowClient", name: str, exports: Path) -> bool:
    """Remove ``latest`` when no version is in Production any more, and return whether it was.

    Unless it points at the export of an earlier store, of which this registry knows nothing.
    """
    versions = client.search_model_versions(f"name = '{name}'")
    if any(version.current_stage == "Production" for version in versions):
        return False
    latest = exports / "latest"
    if not latest.is_symlink() or exported_run(latest) not in {version.run_id for version in versions}:
        return False
    latest.unlink()
    return True


def points_at(export: Path) -> bool:
    """Return whether ``latest`` beside `export` is a link to it."""
    latest = export.parent / "latest"
    return latest.is_symlink() and str(latest.readlink()) == export.name


def fetch_onnx(client: "MlflowClient", run_id: str, folder: Path) -> None:
    """Put the ONNX graph of a run, if it has one, into a folder.

    Raises
    ------
    RegistryError
        When it is not the one that was packaged.
    """
    tags = client.get_run(run_id).data.tags
    if tags.get(TAG) != PACKAGED:
        return
    with tempfile.TemporaryDirectory(dir=folder) as name:
        graph = Path(client.download_artifacts(run_id, f"{ONNX_FOLDER}/{ONNX_FILE}", name))
        if sha256(graph) != tags.get(ONNX_SHA256):
            raise RegistryError(
                f"the ONNX graph of run {run_id} is not the one that was packaged (SHA-256 differs)",
                "find out who writes to the store; restore a backup, or register another run",
            )
        graph.rename(folder / ONNX_FILE)


def _check_same_run(export: Path, run_id: str) -> None:
    """Refuse to replace what an earlier store exported under the same number."""
    exported = exported_run(export)
    if exported not in (None, run_id):
        raise RegistryError(
            f"{export} is the export of another run, {exported}, from an earlier store or of another registered model",
            f"keep it elsewhere first: mv {export.parent} {export.parent}.old",
        )


def _check_same_predictions(uri: str, run: FinishedRun, exported: Path, model: "Model") -> None:
    import mlflow

    example = model.load_input_example(str(exported))
    with tempfile.TemporaryDirectory() as name:  # read by this project's own code, not by the store's
        fetch_logged(uri, run.tags, Path(name) / "model", "train anew")
        stored = np.asarray(RawRowsModel(Path(name) / "model").predict(cast(pd.DataFrame, example)))
    try:
        found = np.asarray(mlflow.pyfunc.load_model(str(exported)).predict(example))
    except ImportError as error:
        raise RegistryError(
            f"{uri} was trained with code that is laid out otherwise than this project's now: {error}",
            "check its commit out to export it (the version's tag git_commit), or train anew: dvc repro",
        ) from None
    if not np.array_equal(stored, found):
        raise RegistryError(
            f"the export of {uri} predicts {found.tolist()} for its input example, the store's model {stored.tolist()}",
            "check that nothing else writes to models/production, and run the command again",
        )


def _metadata(version: "ModelVersion", run: FinishedRun, written: Path, model: "Model") -> dict[str, Any]:
    requirements = (written / "model" / "requirements.txt").read_text(encoding="utf-8").split()
    files = sorted(path for path in written.rglob("*") if path.is_file())
    signature = model.signature.to_dict() if model.signature else {}
    stored = json.loads((written / "model" / "features.json").read_text(encoding="utf-8"))
    return {
        "name": version.name,
        "version": int(version.version),
        "stage": "Production",
        "run_id": run.run_id,
        "model_id": run.model_id,
        "family": run.tags.get("family"),
        "model_uri": f"models:/{version.name}/{version.version}",
        "metrics": run.metrics,
        "feature_names": stored["feature_names"],
        "labels": stored["labels"],
        "signature": {side: json.loads(columns) for side, columns in signature.items() if columns},
        "data_sha256": run.tags.get("data_sha256"),
        "git_commit": run.tags.get("git_commit"),
        "git_dirty": run.tags.get("git_dirty"),
        "packages": dict(line.split("==") for line in requirements if "==" in line),
        "files": {str(path.relative_to(written)): sha256(path) for path in files},
    }

"""Export a model version to a folder, always from its files in the MLflow store."""

import json
import tempfile
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd

from pipeline.errors import PipelineError, RegistryError
from pipeline.features.raw_rows_model import RawRowsModel
from pipeline.register.export.files import METADATA, export_problems
from pipeline.register.finished_run import FinishedRun
from pipeline.register.package import ONNX_FILE, ONNX_FOLDER, ONNX_SHA256, PACKAGED, TAG
from pipeline.store.logged_model import download_verified
from pipeline.support.files import read_json, replace_folder, replace_link, sha256, write_json
from pipeline.support.paths import EXPORTS, main_checkout_path
from pipeline.support.progress import progress

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.models import Model

EXPORT_SHA256 = "export_sha256"  # tag of a version: hash of metadata.json, which lists the hashes of all other files


def exports_root(folder: Path) -> Path:
    """Return the folder that holds a pipeline folder's exports."""
    return main_checkout_path(folder) / EXPORTS


def export_folder(exports: Path, version: "ModelVersion") -> Path:
    """Return the folder of a version's export."""
    return exports / f"v{int(version.version):03d}"


def exported_run(export: Path) -> str | None:
    """Return the run ID in the metadata of an export; None if there is no export or its metadata is invalid."""
    try:
        return str(read_json(export / METADATA, "python src/model_register.py --stage Production", "run_id")["run_id"])
    except PipelineError:
        return None


def export_version(client: "MlflowClient", version: "ModelVersion", run: FinishedRun, folder: Path) -> Path:
    """Export a version to ``models/production/vNNN``, atomically; an intact export of it is left unchanged.

    Parameters
    ----------
    client : MlflowClient
    version : ModelVersion
    run : FinishedRun
        The run of the version.
    folder : Path
        The pipeline folder.

    Returns
    -------
    Path
        The export: model.pkl (the bare estimator), model/ (the MLflow model, which takes raw rows), model.onnx (if the
        run has an ONNX graph) and metadata.json.

    Raises
    ------
    RegistryError
        If the exported model and the store's model predict differently for the input example, or the folder has an
        export of another run.
    """
    import joblib
    from mlflow.models import Model

    uri = f"models:/{version.name}/{version.version}"
    target = export_folder(exports_root(folder), version)
    _check_same_run(target, run.run_id)
    if is_intact(client, version, target):
        progress(f"model_register: {EXPORTS / target.name} is intact and was left unchanged")
        return target
    is_replacement = target.exists()
    with replace_folder(target) as temporary:
        download_verified(uri, run.tags, temporary / "model", "train again: dvc repro -f -s model_train")
        model = Model.load(str(temporary / "model"))
        flavor = next(name for name in model.flavors if name != "python_function")
        loaded = import_module(f"mlflow.{flavor}").load_model(str(temporary / "model"))
        joblib.dump(loaded, temporary / "model.pkl")
        fetch_onnx(client, run.run_id, temporary)
        _check_same_predictions(uri, run, temporary / "model", model)
        write_json(temporary / METADATA, _build_metadata(version, run, temporary, model))
        digest = sha256(temporary / METADATA)
    client.set_model_version_tag(version.name, str(version.version), EXPORT_SHA256, digest)
    replacing_damaged = ", replacing a damaged export" if is_replacement else ""
    progress(f"model_register: exported to {EXPORTS / target.name}{replacing_damaged}")
    return target


def is_intact(client: "MlflowClient", version: "ModelVersion", export: Path) -> bool:
    """Return whether an export exists, is complete, and has the hash that the registry recorded."""
    if not (export / METADATA).exists():
        return False
    recorded_sha256 = client.get_model_version(version.name, str(version.version)).tags.get(EXPORT_SHA256)
    return recorded_sha256 == sha256(export / METADATA) and not export_problems(export)


def point_latest_to(export: Path) -> None:
    """Point the link ``latest`` beside `export` to it, atomically."""
    replace_link(export.parent / "latest", export.name)


def unlink_latest(client: "MlflowClient", name: str, exports: Path) -> bool:
    """Remove ``latest`` if no version is in Production, and return whether it was removed.

    A link to an export that is not of this registry, such as one from an earlier store, is kept.
    """
    versions = client.search_model_versions(f"name = '{name}'")
    if any(version.current_stage == "Production" for version in versions):
        return False
    latest = exports / "latest"
    if not latest.is_symlink() or exported_run(latest) not in {version.run_id for version in versions}:
        return False
    latest.unlink()
    return True


def is_latest(export: Path) -> bool:
    """Return whether the link ``latest`` beside `export` points to it."""
    latest = export.parent / "latest"
    return latest.is_symlink() and str(latest.readlink()) == export.name


def fetch_onnx(client: "MlflowClient", run_id: str, folder: Path) -> None:
    """Download the ONNX graph of a run, if it has one, to a folder.

    Raises
    ------
    RegistryError
        If the graph is not the one that was packaged.
    """
    tags = client.get_run(run_id).data.tags
    if tags.get(TAG) != PACKAGED:
        return
    with tempfile.TemporaryDirectory(dir=folder) as name:
        graph = Path(client.download_artifacts(run_id, f"{ONNX_FOLDER}/{ONNX_FILE}", name))
        if sha256(graph) != tags.get(ONNX_SHA256):
            raise RegistryError(
                f"the ONNX graph of run {run_id} is not the one that was packaged (SHA-256 differs)",
                "restore the store from a backup, or register another run",
            )
        graph.rename(folder / ONNX_FILE)


def _check_same_run(export: Path, run_id: str) -> None:
    """Raise if the folder has the export of another run, which must not be overwritten."""
    exported = exported_run(export)
    if exported not in (None, run_id):
        raise RegistryError(
            f"{export} is the export of another run, {exported}, from an earlier store or another registered model",
            f"move it away first: mv {export.parent} {export.parent}.old",
        )


def _check_same_predictions(uri: str, run: FinishedRun, exported: Path, model: "Model") -> None:
    import mlflow

    example = model.load_input_example(str(exported))
    with tempfile.TemporaryDirectory() as name:  # loaded with the project's code instead of the model's
        download_verified(uri, run.tags, Path(name) / "model", "train again: dvc repro -f -s model_train")
        expected_output = np.asarray(RawRowsModel(Path(name) / "model").predict(cast(pd.DataFrame, example)))
    try:
        exported_output = np.asarray(mlflow.pyfunc.load_model(str(exported)).predict(example))
    except ImportError as error:
        raise RegistryError(
            f"{uri} cannot be loaded with the current code of this project: {error}",
            "check out the commit in the version's tag git_commit to export it, or train again: dvc repro",
        ) from None
    if not np.array_equal(expected_output, exported_output):
        raise RegistryError(
            f"the export of {uri} predicts {exported_output.tolist()} for its input example, but the store's model "
            f"predicts {expected_output.tolist()}",
            "check that nothing else writes to models/production, and run the command again",
        )


def _build_metadata(version: "ModelVersion", run: FinishedRun, temporary: Path, model: "Model") -> dict[str, Any]:
    requirements = (temporary / "model" / "requirements.txt").read_text(encoding="utf-8").split()
    files = sorted(path for path in temporary.rglob("*") if path.is_file())
    signature = model.signature.to_dict() if model.signature else {}
    features = json.loads((temporary / "model" / "features.json").read_text(encoding="utf-8"))
    return {
        "name": version.name,
        "version": int(version.version),
        "stage": "Production",
        "run_id": run.run_id,
        "model_id": run.model_id,
        "family": run.tags.get("family"),
        "model_uri": f"models:/{version.name}/{version.version}",
        "metrics": run.metrics,
        "feature_names": features["feature_names"],
        "labels": features["labels"],
        "threshold": features.get("threshold"),
        "signature": {side: json.loads(columns) for side, columns in signature.items() if columns},
        "data_sha256": run.tags.get("data_sha256"),
        "git_commit": run.tags.get("git_commit"),
        "git_dirty": run.tags.get("git_dirty"),
        "packages": dict(line.split("==") for line in requirements if "==" in line),
        "files": {str(path.relative_to(temporary)): sha256(path) for path in files},
    }

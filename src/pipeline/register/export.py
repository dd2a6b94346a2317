"""Export of a registered version to a folder, always loaded back from MLflow."""

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.errors import RegistryError
from pipeline.files import read_json, sha256, write_json
from pipeline.paths import EXPORTS, checkout_of
from pipeline.register.candidate import Candidate
from pipeline.register.package import ONNX_FILE, ONNX_FOLDER, PACKAGED, TAG

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.models import Model


def export_version(version: "ModelVersion", candidate: Candidate, stage: str, folder: Path) -> Path:
    """Write a version to ``models/production/vNNN``, whole or not at all.

    Parameters
    ----------
    version : ModelVersion
    candidate : Candidate
        Its run.
    stage : str
        The stage that the version is being given.
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
    import mlflow
    from mlflow.models import Model

    uri = f"models:/{version.name}/{version.version}"
    exports = checkout_of(folder) / EXPORTS
    target = exports / f"v{int(version.version):03d}"
    _check_same_run(target, candidate.run_id)
    exports.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=exports, prefix=f".{target.name}.") as name:
        beside = Path(name) / target.name
        beside.mkdir()
        mlflow.artifacts.download_artifacts(uri, dst_path=str(beside / "model"))
        model = Model.load(str(beside / "model"))
        flavour = mlflow.xgboost if "xgboost" in model.flavors else mlflow.sklearn
        joblib.dump(flavour.load_model(uri), beside / "model.pkl")
        _add_onnx(candidate.run_id, beside)
        _check_same_predictions(uri, beside / "model", model)
        write_json(beside / "metadata.json", _metadata(version, candidate, stage, beside, model))
        if target.exists():
            target.rename(Path(name) / "replaced")
        beside.rename(target)
    return target


def _add_onnx(run_id: str, export: Path) -> None:
    """Put the ONNX graph of a run, if it has one, into an export."""
    import mlflow

    client = mlflow.MlflowClient()
    if client.get_run(run_id).data.tags.get(TAG) == PACKAGED:
        with tempfile.TemporaryDirectory(dir=export) as name:
            Path(client.download_artifacts(run_id, f"{ONNX_FOLDER}/{ONNX_FILE}", name)).rename(export / ONNX_FILE)


def point_latest_at(export: Path) -> None:
    """Make ``latest`` beside `export` a link to it, in one step."""
    with tempfile.TemporaryDirectory(dir=export.parent, prefix=".latest.") as name:
        link = Path(name) / "latest"
        link.symlink_to(export.name)
        link.replace(export.parent / "latest")


def _check_same_run(export: Path, run_id: str) -> None:
    """Refuse to replace what an earlier store exported under the same number."""
    if not (export / "metadata.json").exists():
        return
    exported = read_json(export / "metadata.json", "python src/model_register.py --stage Production", "run_id")
    if exported["run_id"] != run_id:
        raise RegistryError(
            f"{export} is the export of another run, {exported['run_id']}, from an earlier store",
            f"keep it elsewhere first: mv {export.parent} {export.parent}.old",
        )


def _check_same_predictions(uri: str, exported: Path, model: "Model") -> None:
    import mlflow

    example = model.load_input_example(str(exported))
    stored = np.asarray(mlflow.pyfunc.load_model(uri).predict(example))
    found = np.asarray(mlflow.pyfunc.load_model(str(exported)).predict(example))
    if not np.array_equal(stored, found):
        raise RegistryError(
            f"the export of {uri} predicts {found.tolist()} for its input example, the store's model {stored.tolist()}",
            "check that nothing else writes to models/production, and run the command again",
        )


def _metadata(
    version: "ModelVersion", candidate: Candidate, stage: str, beside: Path, model: "Model"
) -> dict[str, Any]:
    requirements = (beside / "model" / "requirements.txt").read_text(encoding="utf-8").split()
    files = sorted(path for path in beside.rglob("*") if path.is_file())
    signature = model.signature.to_dict() if model.signature else {}
    stored = json.loads((beside / "model" / "features.json").read_text(encoding="utf-8"))
    return {
        "name": version.name,
        "version": int(version.version),
        "stage": stage,
        "run_id": candidate.run_id,
        "model_id": candidate.model_id,
        "family": candidate.tags.get("family"),
        "model_uri": f"models:/{version.name}/{version.version}",
        "metrics": candidate.metrics,
        "feature_names": stored["feature_names"],
        "labels": stored["labels"],
        "signature": {side: json.loads(columns) for side, columns in signature.items() if columns},
        "data_sha256": candidate.tags.get("data_sha256"),
        "git_commit": candidate.tags.get("git_commit"),
        "git_dirty": candidate.tags.get("git_dirty"),
        "packages": dict(line.split("==") for line in requirements if "==" in line),
        "files": {str(path.relative_to(beside)): sha256(path) for path in files},
    }

"""Find models in the registry or in local exports, verify and load them."""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from pipeline.errors import PipelineError, RegistryError
from pipeline.features.columns import as_text
from pipeline.features.transformer import FEATURES_FILE
from pipeline.register.export.files import EXPORT_COMMAND, METADATA, export_problems, read_metadata
from pipeline.register.package import ONNX_FILE
from pipeline.service.models.engine import Engine, create_engine, to_columns
from pipeline.service.models.served import ServedModel
from pipeline.service.requests.schema import RowSchema
from pipeline.service.settings import Settings
from pipeline.store.logged_model import download_verified, logged_sha256
from pipeline.support.files import sha256
from pipeline.support.paths import EXPORTS
from pipeline.support.yaml import read_yaml

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from pipeline.features.raw_rows_model import RawRowsModel
    from pipeline.features.transformer import FeatureTransformer

LIST_VERSIONS = "python src/model_register.py --list"


@dataclass(frozen=True)
class ModelReference:
    """A model that can be loaded.

    Attributes
    ----------
    identity : str
        Differs from that of every other model, including another export of the same version.
    export : Path, optional
        The folder of the export; None for a version in the registry.
    """

    source: Literal["registry", "export"]
    name: str
    version: int
    run_id: str
    identity: str
    export: Path | None = None


def find_in_registry(client: "MlflowClient", settings: Settings, number: int | None) -> ModelReference:
    """Find a version of the registered model: the given one, or by default the version in the configured stage.

    Raises
    ------
    RegistryError
        If there is no such version.
    """
    from pipeline.register.versions import version_in_stage
    from pipeline.store.lookup import find_version

    name = settings.mlflow_model_name
    version = find_version(client, name, number) if number else version_in_stage(client, name, settings.model_stage)
    if version is None:
        missing = f"no version {number}" if number else f"no version in {settings.model_stage}"
        raise RegistryError(
            f"{name} has {missing} in the registry",
            f"promote one: {EXPORT_COMMAND}, or list the versions: {LIST_VERSIONS}",
        )
    identity = f"registry {version.name} {version.version} {version.run_id}"
    return ModelReference("registry", name, int(version.version), str(version.run_id), identity)


def find_in_exports(folder: Path, settings: Settings, number: int | None) -> ModelReference:
    """Find a local export in a pipeline folder: of the given version, or by default the target of ``latest``.

    Raises
    ------
    PipelineError
        If there is no such export, or it belongs to another registered model.
    """
    link = folder / EXPORTS / (f"v{number:03d}" if number else "latest")
    if not link.exists():
        remedy = f"export a model: {EXPORT_COMMAND}"
        if number:
            remedy += f", or list the versions: {LIST_VERSIONS}"
        raise PipelineError(f"{EXPORTS / link.name} does not exist", remedy)
    export = link.resolve()
    metadata = read_metadata(export)
    if metadata["name"] != settings.mlflow_model_name:
        raise PipelineError(
            f"{EXPORTS / link.name} belongs to {metadata['name']}, not to {settings.mlflow_model_name}",
            f"set MLFLOW_MODEL_NAME={metadata['name']}, or export that model: {EXPORT_COMMAND}",
        )
    identity = f"export {export.name} {sha256(export / METADATA)}"
    return ModelReference("export", metadata["name"], int(metadata["version"]), metadata["run_id"], identity, export)


def load_model(reference: ModelReference, client: "MlflowClient | None") -> tuple[ServedModel, list[str]]:
    """Load a model, after verifying the SHA-256 of its files.

    Parameters
    ----------
    reference : ModelReference
    client : MlflowClient, optional
        The client of the registry; required for a version from there.

    Returns
    -------
    ServedModel
    list of str
        Warnings for the operator.

    Raises
    ------
    PipelineError
        If a file is not the one that the training wrote.
    """
    if reference.export:
        return _from_export(reference, reference.export)
    assert client is not None
    return _from_registry(reference, client)


def _from_registry(reference: ModelReference, client: "MlflowClient") -> tuple[ServedModel, list[str]]:
    from pipeline.register.export.export import fetch_onnx
    from pipeline.register.finished_run import OTHER_METRIC_PREFIXES
    from pipeline.store.lookup import find_run

    run = find_run(client, reference.run_id)
    if run is None:
        raise RegistryError(
            f"run {reference.run_id} of {reference.name} version {reference.version} is not in the store",
            f"promote another version; list them: {LIST_VERSIONS}",
        )
    version = client.get_model_version(reference.name, str(reference.version))
    tags = run.data.tags
    metadata = {
        "stage": str(version.current_stage),
        "family": tags["family"],
        "metrics": {
            name: v for name, v in sorted(run.data.metrics.items()) if not name.startswith(OTHER_METRIC_PREFIXES)
        },
        "data_sha256": tags.get("data_sha256"),
        "git_commit": tags.get("git_commit"),
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        uri = f"models:/{reference.name}/{reference.version}"
        download_verified(uri, tags, folder / "model", "train a new model")
        fetch_onnx(client, reference.run_id, folder)
        return _load_folder(reference, folder, metadata)


def _from_export(reference: ModelReference, export: Path) -> tuple[ServedModel, list[str]]:
    if problems := export_problems(export):
        more = f"; and {len(problems) - 1} more problems" if problems[1:] else ""
        raise PipelineError(f"{export} is damaged: {problems[0]}{more}", f"export again: {EXPORT_COMMAND}")
    return _load_folder(reference, export, read_metadata(export))


def _load_folder(reference: ModelReference, folder: Path, metadata: dict[str, Any]) -> tuple[ServedModel, list[str]]:
    """Load a model from a folder with the layout of an export: model/ and, optionally, model.onnx."""
    from pipeline.features.raw_rows_model import RawRowsModel
    from pipeline.train.reference_profile import PROFILE_FILE

    logged, warnings = folder / "model", []
    raw = RawRowsModel(logged)
    example = _example(logged, raw.transformer)
    graph = folder / ONNX_FILE
    try:
        loaded_engine = create_engine(raw, graph.read_bytes() if graph.exists() else None, example)
    except PipelineError as error:
        warnings.append(f"version {reference.version}: {error.problem}; the model predicts without the graph")
        loaded_engine = Engine(raw)
    profile = None
    if (logged / PROFILE_FILE).exists():
        profile = json.loads((logged / PROFILE_FILE).read_text(encoding="utf-8"))
    else:
        warnings.append(f"version {reference.version} has no reference profile: drift is checked by the rules only")
    card = _card(reference, raw, logged, metadata) | {"engine": loaded_engine.description()}
    schema = RowSchema.from_transformer(raw.transformer)
    row = {column: values[0] for column, values in to_columns(example, raw.transformer).items()}
    return ServedModel(
        reference.name,
        reference.version,
        reference.run_id,
        reference.source,
        metadata["family"],
        raw,
        loaded_engine,
        schema,
        profile,
        card,
        row,
    ), warnings


def _example(logged: Path, transformer: "FeatureTransformer") -> pd.DataFrame:
    """Return the input example of a logged model: raw rows."""
    stored = json.loads((logged / "input_example.json").read_text(encoding="utf-8"))
    rows = pd.DataFrame(stored["data"], columns=stored["columns"])
    texts = {column: as_text(rows[column]) for column, kind in transformer.kinds.items() if kind == "text"}
    return rows.assign(**texts)


def _card(reference: ModelReference, raw: "RawRowsModel", logged: Path, metadata: dict[str, Any]) -> dict[str, Any]:
    """Return the model card: the response of GET /model."""
    mlmodel = read_yaml((logged / "MLmodel").read_text(encoding="utf-8"))
    features = json.loads((logged / FEATURES_FILE).read_text(encoding="utf-8"))
    return {
        "name": reference.name,
        "version": reference.version,
        "stage": metadata["stage"],
        "source": reference.source,
        "run_id": reference.run_id,
        "model_id": mlmodel["model_id"],
        "family": metadata["family"],
        "task": "regression" if raw.labels is None else "classification",
        "labels": raw.labels,
        "threshold": raw.threshold,
        "metrics": metadata["metrics"],
        "signature": {side: json.loads(mlmodel["signature"][side]) for side in ("inputs", "outputs")},
        "features": raw.feature_names,
        "hashes": {
            "model_sha256": features["model_sha256"],
            "logged_model_sha256": logged_sha256(logged),
            "data_sha256": metadata.get("data_sha256"),
        },
        "git_commit": metadata.get("git_commit"),
        "trained_at": f"{mlmodel['utc_time_created'].replace(' ', 'T')[:19]}Z",
    }

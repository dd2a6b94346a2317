"""From the registry or a local export to a model that answers."""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from pipeline.errors import PipelineError, RegistryError
from pipeline.features.columns import as_text
from pipeline.features.transformer import FEATURES_FILE
from pipeline.register.export.files import EXPORT_AGAIN, METADATA, damages, read_metadata
from pipeline.register.package import ONNX_FILE
from pipeline.service.models.engine import Engine, columns_of, engine
from pipeline.service.models.served import ServedModel
from pipeline.service.requests.schema import RowSchema
from pipeline.service.settings import Settings
from pipeline.store.logged_model import fetch_logged, logged_sha256
from pipeline.support.files import sha256
from pipeline.support.paths import EXPORTS
from pipeline.support.yaml import read_yaml

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from pipeline.features.raw_rows_model import RawRowsModel
    from pipeline.features.transformer import FeatureTransformer


@dataclass(frozen=True)
class Found:
    """A model that is to be served, not loaded yet.

    Attributes
    ----------
    identity : str
        Changes when another model is to be loaded.
    export : Path, optional
        Its folder; None of a version in the registry.
    """

    source: Literal["registry", "export"]
    name: str
    version: int
    run_id: str
    identity: str
    export: Path | None = None


def in_registry(client: "MlflowClient", settings: Settings, number: int | None) -> Found:
    """Find a version of the registered model: that of a number, else the one in the stage of the settings.

    Raises
    ------
    RegistryError
        When there is none.
    """
    from pipeline.register.versions import in_stage
    from pipeline.store.lookup import find_version

    name = settings.mlflow_model_name
    version = find_version(client, name, number) if number else in_stage(client, name, settings.model_stage)
    if version is None:
        what = f"no version {number}" if number else f"no version in {settings.model_stage}"
        raise RegistryError(
            f"{name} has {what} in the registry", f"see which there are, or promote one: {EXPORT_AGAIN}, --list"
        )
    identity = f"registry {version.name} {version.version} {version.run_id}"
    return Found("registry", name, int(version.version), str(version.run_id), identity)


def in_exports(folder: Path, settings: Settings, number: int | None) -> Found:
    """Find a local export below a pipeline folder: that of a number, else the one that ``latest`` points at.

    Raises
    ------
    PipelineError
        When there is none, or it is of another registered model.
    """
    link = folder / EXPORTS / (f"v{number:03d}" if number else "latest")
    if not link.exists():
        remedy = f"name a version there is: {EXPORT_AGAIN}, --list" if number else f"export a model: {EXPORT_AGAIN}"
        raise PipelineError(f"{EXPORTS / link.name} does not exist", remedy)
    export = link.resolve()
    metadata = read_metadata(export)
    if metadata["name"] != settings.mlflow_model_name:
        raise PipelineError(
            f"{EXPORTS / link.name} is an export of {metadata['name']}, not of {settings.mlflow_model_name}",
            f"set MLFLOW_MODEL_NAME={metadata['name']}, or export that model: {EXPORT_AGAIN}",
        )
    identity = f"export {export.name} {sha256(export / METADATA)}"
    return Found("export", metadata["name"], int(metadata["version"]), metadata["run_id"], identity, export)


def load(found: Found, client: "MlflowClient | None") -> tuple[ServedModel, list[str]]:
    """Load a model, nothing of which is loaded before its SHA-256s are right.

    Parameters
    ----------
    found : Found
    client : MlflowClient, optional
        Of the registry; needed for a version of it.

    Returns
    -------
    ServedModel
    list of str
        What an operator should know.

    Raises
    ------
    PipelineError
        When a file is not what the training wrote.
    """
    if found.export:
        return _from_export(found, found.export)
    assert client is not None
    return _from_registry(found, client)


def _from_registry(found: Found, client: "MlflowClient") -> tuple[ServedModel, list[str]]:
    from pipeline.register.export.export import fetch_onnx
    from pipeline.register.finished_run import NOT_OF_MODEL
    from pipeline.store.lookup import find_run

    run = find_run(client, found.run_id)
    if run is None:
        raise RegistryError(
            f"the run {found.run_id} of {found.name} version {found.version} is not in the store",
            "register another run: python src/model_register.py --list shows the versions",
        )
    version = client.get_model_version(found.name, str(found.version))
    tags = run.data.tags
    said = {
        "stage": str(version.current_stage),
        "family": tags["family"],
        "metrics": {name: v for name, v in sorted(run.data.metrics.items()) if not name.startswith(NOT_OF_MODEL)},
        "data_sha256": tags.get("data_sha256"),
        "git_commit": tags.get("git_commit"),
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        uri = f"models:/{found.name}/{found.version}"
        fetch_logged(uri, tags, folder / "model", "train anew")
        fetch_onnx(client, found.run_id, folder)
        return _loaded(found, folder, said)


def _from_export(found: Found, export: Path) -> tuple[ServedModel, list[str]]:
    if wrong := damages(export):
        more = f"; and {len(wrong) - 1} more" if wrong[1:] else ""
        raise PipelineError(f"{export} is damaged: {wrong[0]}{more}", f"export again: {EXPORT_AGAIN}")
    return _loaded(found, export, read_metadata(export))


def _loaded(found: Found, folder: Path, said: dict[str, Any]) -> tuple[ServedModel, list[str]]:
    """Load what lies in a folder as in an export: model/, and perhaps model.onnx."""
    from pipeline.features.raw_rows_model import RawRowsModel
    from pipeline.train.reference_profile import PROFILE_FILE

    logged, warnings = folder / "model", []
    raw = RawRowsModel(logged)
    example = _example(logged, raw.transformer)
    graph = folder / ONNX_FILE
    try:
        made = engine(raw, graph.read_bytes() if graph.exists() else None, example)
    except PipelineError as error:
        warnings.append(f"version {found.version}: {error.problem}; the model answers alone")
        made = Engine(raw)
    profile = None
    if (logged / PROFILE_FILE).exists():
        profile = json.loads((logged / PROFILE_FILE).read_text(encoding="utf-8"))
    else:
        warnings.append(f"version {found.version} has no reference profile: drift is judged by the rules alone")
    card = _card(found, raw, logged, said) | {"engine": made.described()}
    schema = RowSchema.of(raw.transformer)
    row = {column: values[0] for column, values in columns_of(example, raw.transformer).items()}
    return ServedModel(
        found.name, found.version, found.run_id, found.source, said["family"], raw, made, schema, profile, card, row
    ), warnings


def _example(logged: Path, transformer: "FeatureTransformer") -> pd.DataFrame:
    """Return the raw rows that were stored with a model."""
    stored = json.loads((logged / "input_example.json").read_text(encoding="utf-8"))
    rows = pd.DataFrame(stored["data"], columns=stored["columns"])
    texts = {column: as_text(rows[column]) for column, kind in transformer.kinds.items() if kind == "text"}
    return rows.assign(**texts)


def _card(found: Found, raw: "RawRowsModel", logged: Path, said: dict[str, Any]) -> dict[str, Any]:
    """Return what GET /model answers."""
    described = read_yaml((logged / "MLmodel").read_text(encoding="utf-8"))
    features = json.loads((logged / FEATURES_FILE).read_text(encoding="utf-8"))
    return {
        "name": found.name,
        "version": found.version,
        "stage": said["stage"],
        "source": found.source,
        "run_id": found.run_id,
        "model_id": described["model_id"],
        "family": said["family"],
        "task": "regression" if raw.labels is None else "classification",
        "labels": raw.labels,
        "metrics": said["metrics"],
        "signature": {side: json.loads(described["signature"][side]) for side in ("inputs", "outputs")},
        "features": raw.feature_names,
        "hashes": {
            "model_sha256": features["model_sha256"],
            "logged_model_sha256": logged_sha256(logged),
            "data_sha256": said.get("data_sha256"),
        },
        "git_commit": said.get("git_commit"),
        "trained_at": f"{described['utc_time_created'].replace(' ', 'T')[:19]}Z",
    }

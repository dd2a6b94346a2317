"""Let the autologged model also accept raw rows, without storing the model twice."""

import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from pipeline.errors import StoreError
from pipeline.features.columns import Kind
from pipeline.features.raw_rows_model import PROBABILITY_PREFIX
from pipeline.features.transformer import FEATURES_FILE, FeatureTransformer
from pipeline.learn.task import Task
from pipeline.store.logged_model import LOGGED_SHA256, MODEL_SHA256, logged_sha256
from pipeline.support.files import sha256
from pipeline.train.reference_profile import Profile, write_profile

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.models import ModelSignature

SOURCES = Path(__file__).parents[1]
LOADER = "pipeline.features.raw_rows_model"
CODE = ("__init__.py", "errors.py", "features")  # copied into the model, because its loader needs them


@dataclass(frozen=True)
class RawRowsView:
    """The steps from raw rows to the input of a model.

    Attributes
    ----------
    transformer : FeatureTransformer
        Fitted on the training rows.
    features : list of str
        The features of the transformer that the model uses, in order.
    task : Task
    example : DataFrame, shape (n_rows, n_columns)
        Raw rows to store as the model's input example.
    threshold : float, optional
        Probability from which the positive class is predicted; None: the most probable class is.
    """

    transformer: FeatureTransformer
    features: list[str]
    task: Task
    example: pd.DataFrame
    threshold: float | None = None


def add_raw_rows_view(
    client: "MlflowClient", model_id: str, model_file: str, view: RawRowsView, profile: Profile
) -> dict[str, str]:
    """Add the feature transformer, a python_function flavor that uses it, and the reference profile to a logged model.

    Parameters
    ----------
    client : MlflowClient
    model_id : str
        The logged model that autologging wrote.
    model_file : str
        The name of its file that holds the fitted estimator.
    view : RawRowsView
    profile : dict
        The reference profile of its training rows and of its predictions for the test rows.

    Returns
    -------
    dict of str to str
        Tags for the run: the SHA-256 sum of the model file in the store, and that of all files of the logged model.
    """
    import mlflow
    from mlflow.models import Model

    with tempfile.TemporaryDirectory() as name:
        logged = Path(mlflow.artifacts.download_artifacts(f"models:/{model_id}", dst_path=f"{name}/logged"))
        if not (logged / "MLmodel").exists() or not (logged / model_file).exists():
            raise StoreError(
                f"autologging did not write MLmodel and {model_file} of model {model_id} to the store",
                "check the log above, then run the stage again",
            )
        model = Model.load(str(logged))
        digest = sha256(logged / model_file)

        added = Path(name) / "view"
        write_view(view, logged / model_file, added)
        write_profile(added, profile)
        split = json.loads(view.example.to_json(orient="split", index=False, double_precision=15))
        _write_json(added / "input_example.json", split)
        _write_json(added / "serving_input_example.json", {"dataframe_split": split})
        flavor = model.flavors["python_function"]
        flavor |= {"loader_module": LOADER, "code": "code"}
        for key in ("data", "model_path", "predict_fn"):
            flavor.pop(key, None)
        model.signature = signature_of(view)
        model.save(str(added / "MLmodel"))
        client.log_model_artifacts(model_id, str(added))
        shutil.copytree(added, logged, dirs_exist_ok=True)
        return {MODEL_SHA256: digest, LOGGED_SHA256: logged_sha256(logged)}


def write_view(view: RawRowsView, model_file: Path, folder: Path) -> None:
    """Write all files that `RawRowsModel` needs in addition to the model file."""
    for name in CODE:
        source, target = SOURCES / name, folder / "code" / "pipeline" / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    stored = {
        "transformer": view.transformer.save(folder, view.features),
        "model_file": model_file.name,
        "model_sha256": sha256(model_file),
        "feature_names": view.features,
        "labels": view.task.labels,
        **({} if view.threshold is None else {"threshold": view.threshold}),
    }
    _write_json(folder / FEATURES_FILE, stored)


def signature_of(view: RawRowsView) -> "ModelSignature":
    """Return the model signature for raw rows: all input columns are required, but their values may be missing."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema, TensorSpec
    from mlflow.types.schema import AnyType

    # MLflow would convert the text "False" to true and a missing value to false, so the loader converts booleans.
    types: dict[Kind, DataType | AnyType] = {"number": DataType.double, "text": DataType.string, "boolean": AnyType()}  # type: ignore[no-untyped-call]

    inputs: list[ColSpec | TensorSpec] = [
        ColSpec(types[kind], name, required=True) for name, kind in view.transformer.kinds.items()
    ]
    labels = view.task.labels
    if labels is None:
        return ModelSignature(inputs=Schema(inputs), outputs=Schema([ColSpec("double")]))
    label_type = {bool: DataType.boolean, int: DataType.long, str: DataType.string}[type(labels[0])]
    outputs: list[ColSpec | TensorSpec] = [ColSpec(label_type, "prediction")]
    outputs += [ColSpec("double", f"{PROBABILITY_PREFIX}{label}") for label in labels]
    return ModelSignature(inputs=Schema(inputs), outputs=Schema(outputs))


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False), encoding="utf-8")

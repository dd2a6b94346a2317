"""Give the autologged model a second view, which takes raw rows, without storing the model twice."""

import json
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from pipeline.errors import StoreError
from pipeline.features import FEATURES_FILE, FeatureTransformer, Kind
from pipeline.files import sha256
from pipeline.neighbors import NEIGHBORS_FILE

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.models import ModelSignature

SOURCES = Path(__file__).parents[1]
LOADER = "pipeline.serve.raw_rows"
# The modules the loader needs, which travel with the model.
CODE = (
    "__init__.py",
    "errors.py",
    "expressions.py",
    "features.py",
    "neighbors.py",
    "serve/__init__.py",
    "serve/raw_rows.py",
)


def add_raw_rows_view(
    client: "MlflowClient", model_id: str, transformer: FeatureTransformer, features: list[str], example: pd.DataFrame
) -> str:
    """Add the feature transformer and a python_function flavour over it to a logged XGBoost model.

    Parameters
    ----------
    client : MlflowClient
    model_id : str
        The logged model that autologging wrote.
    transformer : FeatureTransformer
        As fitted on the training rows.
    features : list of str
        Those of its features that the model takes, in order.
    example : DataFrame, shape (n_rows, n_columns)
        Raw rows to store as the model's input example.

    Returns
    -------
    str
        SHA-256 of the model file in the store.
    """
    import mlflow
    from mlflow.models import Model

    with tempfile.TemporaryDirectory() as name:
        logged = Path(mlflow.artifacts.download_artifacts(f"models:/{model_id}", dst_path=f"{name}/logged"))
        if not (logged / "MLmodel").exists():
            raise StoreError(
                f"autologging left no files of model {model_id} in the store", "see the log above, then run it again"
            )
        model = Model.load(str(logged))
        model_file = str(model.flavors["xgboost"]["data"])
        digest = sha256(logged / model_file)

        view = Path(name) / "view"
        for module in CODE:
            target = view / "code" / "pipeline" / module
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(SOURCES / module, target)
        stored = {"transformer": transformer.to_dict(), "model_file": model_file, "feature_names": features}
        _write_json(view / FEATURES_FILE, stored)
        if transformer.neighbors and set(transformer.neighbor_names) & set(features):
            transformer.neighbors.save(view / NEIGHBORS_FILE)
        split = json.loads(example.to_json(orient="split", index=False, double_precision=15))
        _write_json(view / "input_example.json", split)
        _write_json(view / "serving_input_example.json", {"dataframe_split": split})
        flavour = model.flavors["python_function"]
        flavour |= {"loader_module": LOADER, "code": "code"}
        flavour.pop("data")
        model.signature = signature_of(transformer)
        model.save(str(view / "MLmodel"))
        client.log_model_artifacts(model_id, str(view))
    return digest


def signature_of(transformer: FeatureTransformer) -> "ModelSignature":
    """Return the signature of raw rows: every input column is required, though its value may be missing."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema, TensorSpec
    from mlflow.types.schema import AnyType

    # MLflow would take the text "False" and a missing value for true and false: the loader converts booleans itself.
    types: dict[Kind, DataType | AnyType] = {"number": DataType.double, "text": DataType.string, "boolean": AnyType()}  # type: ignore[no-untyped-call]

    inputs: list[ColSpec | TensorSpec] = [
        ColSpec(types[kind], name, required=True) for name, kind in transformer.kinds.items()
    ]
    return ModelSignature(inputs=Schema(inputs), outputs=Schema([ColSpec("double")]))


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False), encoding="utf-8")

"""Add an ONNX graph to a run: it takes raw rows, and is compared with the model on all test rows."""

import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from numpy.typing import NDArray

from pipeline.errors import PipelineError
from pipeline.features.raw_rows_model import RawRowsModel
from pipeline.register.finished_run import FinishedRun
from pipeline.register.gate.test_rows import load_test_rows
from pipeline.store.logged_model import download_verified
from pipeline.support.files import sha256

if TYPE_CHECKING:
    from mlflow import MlflowClient

ONNX_FOLDER = "onnx_model"  # in a run's artifacts
ONNX_FILE = "model.onnx"
TAG = "onnx"  # tag of a run: "packaged", or the reason why it has no graph
PACKAGED = "packaged"
ONNX_SHA256 = "onnx_sha256"  # tag of a run


def package(client: "MlflowClient", run: FinishedRun, folder: Path) -> str:
    """Add an ONNX graph of its logged model to a run that has none, and return a message.

    Parameters
    ----------
    client : MlflowClient
    run : FinishedRun
    folder : Path
        The pipeline folder, with the test table.

    Returns
    -------
    str
        What was done, or why there is no graph. The run's tag ``onnx`` records it too.
    """
    tags = client.get_run(run.run_id).data.tags
    if tags.get(TAG) == PACKAGED:
        return f"run {run.run_id} was already packaged as ONNX"
    try:
        message = _package(client, run, folder)
    except ImportError as error:
        client.set_tag(run.run_id, TAG, str(error)[:500])
        return f"registered without ONNX: {error}\n  -> pip install -r requirements.txt, and register again"
    except PipelineError as error:
        client.set_tag(run.run_id, TAG, error.problem[:500])
        return f"registered without ONNX: {error}"
    client.set_tag(run.run_id, TAG, PACKAGED)
    return message


def _package(client: "MlflowClient", run: FinishedRun, folder: Path) -> str:
    import mlflow

    from pipeline.onnx.check import check
    from pipeline.onnx.model import to_onnx

    rows = load_test_rows(client, run.run_id, folder, "the ONNX graph cannot be checked", "and register again")
    with tempfile.TemporaryDirectory() as name:
        logged = Path(name) / "model"
        download_verified(f"models:/{run.model_id}", run.tags, logged, "register another run")
        model = RawRowsModel(logged)
        graph = to_onnx(model.transformer, model.feature_names, model.model, model.labels, model.threshold)
        timing = check(graph, model.transformer, rows, lambda batch: outputs_by_name(model.predict(batch)))
        saved = Path(name) / ONNX_FOLDER
        requirements = [f"{package}=={version(package)}" for package in ("onnx", "onnxruntime")]
        mlflow.onnx.save_model(
            graph,
            str(saved),
            pip_requirements=requirements,
            save_as_external_data=False,
            onnx_execution_providers=["CPUExecutionProvider"],
        )
        client.set_tag(run.run_id, ONNX_SHA256, sha256(saved / ONNX_FILE))
        client.log_artifacts(run.run_id, str(saved), ONNX_FOLDER)
    for metric, value in {
        "onnx_row_ms": timing.row_ms,
        "onnx_rows_ms": timing.rows_ms,
        "onnx_original_row_ms": timing.original_row_ms,
        "onnx_original_rows_ms": timing.original_rows_ms,
        "onnx_largest_difference": timing.largest_difference,
    }.items():
        client.log_metric(run.run_id, metric, value)
    return (
        f"the ONNX graph matches the model on all {timing.n_rows:,} test rows (largest relative difference "
        f"{timing.largest_difference:.1g})\nmodel_register: one row takes {timing.row_ms:.3g} ms "
        f"with the graph, {timing.original_row_ms:.3g} ms with the model"
    )


def outputs_by_name(predicted: NDArray[Any] | pd.DataFrame) -> dict[str, NDArray[Any]]:
    """Return a model's predictions, keyed by the names of the graph's outputs."""
    if not isinstance(predicted, pd.DataFrame):
        return {"prediction": predicted}
    return {"prediction": predicted["prediction"].to_numpy(), "probabilities": predicted.iloc[:, 1:].to_numpy()}

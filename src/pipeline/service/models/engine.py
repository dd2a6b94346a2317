"""Compute predictions: with the ONNX graph for few rows, with the logged model for many; both are checked to agree."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.errors import PipelineError
from pipeline.features.columns import Kind, overflow_to_nan
from pipeline.service.records import Columns, Outputs

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

    from pipeline.features.raw_rows_model import RawRowsModel
    from pipeline.features.transformer import FeatureTransformer

# Up to this many rows, the graph predicts. One row takes the graph 0.01 to 0.2 ms and the model 5 to 7 ms, most of it
# independent of the number of rows; with a search among 10,000 neighbors they break even at 50 rows. The limit is
# fixed, not measured at load, because otherwise the last digits of a prediction would depend on timing.
MAX_GRAPH_ROWS = 32


@dataclass(frozen=True, eq=False)
class Engine:
    """A model and, optionally, its ONNX graph.

    Attributes
    ----------
    raw : RawRowsModel
        Predicts any number of rows.
    session : InferenceSession, optional
        The graph, run in one thread; None if the model has no graph.
    inputs : dict of str to str
        The name of the graph's input for each raw column.
    """

    raw: "RawRowsModel"
    session: "InferenceSession | None" = None
    inputs: dict[str, str] | None = None

    def uses_graph(self, n_rows: int) -> bool:
        """Return whether the graph predicts this many rows."""
        return self.session is not None and n_rows <= MAX_GRAPH_ROWS

    def predict(self, columns: Columns, n_rows: int) -> Outputs:
        """Predict raw rows.

        Parameters
        ----------
        columns : dict of str to list
            The model's raw columns, validated.
        n_rows : int
            At least one.
        """
        if self.uses_graph(n_rows):
            return self.predict_with_graph(columns)
        return self.predict_with_model(columns)

    def predict_with_model(self, columns: Columns) -> Outputs:
        """Predict raw rows with the logged model."""
        predictions = self.raw.predict_features(to_features(self.raw, columns))
        if self.raw.labels is None:
            return Outputs(predictions.tolist())
        return Outputs(self.raw.labels_of(predictions), predictions.tolist(), self.raw.threshold)

    def predict_with_graph(self, columns: Columns) -> Outputs:
        """Predict raw rows with the ONNX graph."""
        assert self.session is not None
        assert self.inputs is not None
        kinds = self.raw.transformer.kinds
        feed = {name: _graph_input(columns[column], kinds[column]) for column, name in self.inputs.items()}
        if self.raw.labels is None:
            return Outputs(self.session.run(["prediction"], feed)[0][:, 0].tolist())
        predictions, probabilities = self.session.run(["prediction", "probabilities"], feed)
        return Outputs(predictions.tolist(), probabilities.tolist(), self.raw.threshold)

    def description(self) -> dict[str, Any]:
        """Return what predicts how many rows, for GET /model."""
        model = type(self.raw.model).__name__
        if self.session is None:
            return {"any_rows": model}
        return {f"up_to_{MAX_GRAPH_ROWS}_rows": "ONNX Runtime", "more_rows": model}


def create_engine(raw: "RawRowsModel", graph: bytes | None, rows: pd.DataFrame) -> Engine:
    """Return the engine of a model, after checking that the graph and the model agree.

    Parameters
    ----------
    raw : RawRowsModel
    graph : bytes, optional
        The content of the ONNX file.
    rows : DataFrame, shape (n_rows, n_columns)
        Raw rows to compare predictions on; at least one.

    Raises
    ------
    PipelineError
        If the graph cannot be loaded, or disagrees with the model (see `pipeline.onnx.check`).
    """
    if graph is None:
        return Engine(raw)
    from pipeline.onnx.check import check_agreement
    from pipeline.onnx.features import input_names
    from pipeline.onnx.session import open_session

    try:
        session = open_session(graph)
    except Exception as error:  # ONNX Runtime raises many types of error
        raise PipelineError(f"the ONNX graph cannot be loaded: {error}", "register the run again") from None
    candidate = Engine(raw, session, input_names(raw.transformer))
    columns = to_columns(rows, raw.transformer)
    by_graph, by_model = candidate.predict_with_graph(columns), candidate.predict_with_model(columns)
    check_agreement(_as_graph_outputs(by_graph), _as_graph_outputs(by_model))
    return candidate


def _as_graph_outputs(outputs: Outputs) -> dict[str, NDArray[Any]]:
    """Return predictions by the names of the graph's outputs."""
    arrays = {"prediction": np.asarray(outputs.predictions)}
    return arrays if outputs.probabilities is None else arrays | {"probabilities": np.asarray(outputs.probabilities)}


def to_columns(rows: pd.DataFrame, transformer: "FeatureTransformer") -> Columns:
    """Return raw rows as the columns of a parsed request."""
    return {
        column: [None if pd.isna(value) else value for value in rows[column].tolist()] for column in transformer.kinds
    }


def to_features(raw: "RawRowsModel", columns: Columns) -> NDArray[np.float32]:
    """Return the model's features of raw columns, shape (n_rows, n_features)."""
    return raw.transformer.transform_values(columns, raw.feature_names)


def _graph_input(values: list[Any], kind: Kind) -> NDArray[Any]:
    """Return a column as an input of the graph, shape (n_rows, 1)."""
    if kind == "text":
        return np.array(["" if value is None else value for value in values], dtype=object)[:, None]
    return overflow_to_nan(np.array(values, dtype=np.float64))[:, None]  # None becomes NaN, true 1

"""What computes answers: the ONNX graph for few rows, the logged model itself for many, checked to agree."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.errors import PipelineError
from pipeline.features.columns import Kind, without_too_large
from pipeline.service.answered import Columns, Outputs

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

    from pipeline.features.raw_rows_model import RawRowsModel
    from pipeline.features.transformer import FeatureTransformer

# Rows up to which the graph answers. One row takes it 0.01 to 0.2 ms and the model 5 to 7 ms, most of which is the
# same for 1,000 rows; among 10,000 neighbours they meet at 50. It is not measured at load: the last digits of an answer
# would hang on the timing.
GRAPH_ROWS = 32


@dataclass(frozen=True, eq=False)
class Engine:
    """The forms of one model.

    Attributes
    ----------
    raw : RawRowsModel
        Answers any number of rows.
    session : InferenceSession, optional
        The graph, run by one thread; None where the model has none.
    inputs : dict of str to str
        Of the graph, by raw column.
    """

    raw: "RawRowsModel"
    session: "InferenceSession | None" = None
    inputs: dict[str, str] | None = None

    def is_quick(self, n_rows: int) -> bool:
        """Return whether the graph answers so many rows."""
        return self.session is not None and n_rows <= GRAPH_ROWS

    def predict(self, columns: Columns, n_rows: int) -> Outputs:
        """Answer raw rows.

        Parameters
        ----------
        columns : dict of str to list
            The model's raw columns, validated.
        n_rows : int
            At least one.
        """
        if self.is_quick(n_rows):
            return self.by_graph(columns)
        return self.by_model(columns)

    def by_model(self, columns: Columns) -> Outputs:
        """Answer by the logged model."""
        answers, labels = self.raw.answer(features_of(self.raw, columns)), self.raw.labels
        if labels is None:
            return Outputs(answers.tolist())
        return Outputs([labels[place] for place in answers.argmax(axis=1)], answers.tolist())

    def by_graph(self, columns: Columns) -> Outputs:
        """Answer by the ONNX graph."""
        assert self.session is not None
        assert self.inputs is not None
        kinds = self.raw.transformer.kinds
        fed = {name: _fed(columns[column], kinds[column]) for column, name in self.inputs.items()}
        if self.raw.labels is None:
            return Outputs(self.session.run(["prediction"], fed)[0][:, 0].tolist())
        predictions, probabilities = self.session.run(["prediction", "probabilities"], fed)
        return Outputs(predictions.tolist(), probabilities.tolist())

    def described(self) -> dict[str, Any]:
        """Return which form answers how many rows, for GET /model."""
        model = type(self.raw.model).__name__
        if self.session is None:
            return {"any_rows": model}
        return {f"up_to_{GRAPH_ROWS}_rows": "ONNX Runtime", "more_rows": model}


def engine(raw: "RawRowsModel", graph: bytes | None, rows: pd.DataFrame) -> Engine:
    """Return the engine of a model, after checking that its graph answers as it does.

    Parameters
    ----------
    raw : RawRowsModel
    graph : bytes, optional
        Of an ONNX file.
    rows : DataFrame, shape (n_rows, n_columns)
        Raw rows to compare on; at least one.

    Raises
    ------
    PipelineError
        When the graph cannot be loaded, or they do not agree, as `pipeline.onnx.check` says.
    """
    if graph is None:
        return Engine(raw)
    from pipeline.onnx.check import check_agreement
    from pipeline.onnx.features import input_names
    from pipeline.onnx.session import open_session

    try:
        session = open_session(graph)
    except Exception as error:  # whatever ONNX Runtime raises
        raise PipelineError(f"the ONNX graph cannot be loaded: {error}", "register the run again") from None
    made = Engine(raw, session, input_names(raw.transformer))
    columns = columns_of(rows, raw.transformer)
    check_agreement(_by_output(made.by_graph(columns)), _by_output(made.by_model(columns)))
    return made


def _by_output(outputs: Outputs) -> dict[str, NDArray[Any]]:
    """Return predictions by the names of the graph's outputs."""
    found = {"prediction": np.asarray(outputs.predictions)}
    return found if outputs.probabilities is None else found | {"probabilities": np.asarray(outputs.probabilities)}


def columns_of(rows: pd.DataFrame, transformer: "FeatureTransformer") -> Columns:
    """Return raw rows as validated values, as a request brings them."""
    return {
        column: [None if pd.isna(value) else value for value in rows[column].tolist()] for column in transformer.kinds
    }


def features_of(raw: "RawRowsModel", columns: Columns) -> NDArray[np.float32]:
    """Return the features of validated values that the model takes, shape (n_rows, n_features)."""
    return raw.transformer.of_values(columns, raw.feature_names)


def _fed(values: list[Any], kind: Kind) -> NDArray[Any]:
    """Return a column as an input of the graph, shape (n_rows, 1)."""
    if kind == "text":
        return np.array(["" if value is None else value for value in values], dtype=object)[:, None]
    return without_too_large(np.array(values, dtype=np.float64))[:, None]  # None becomes NaN, true 1

"""Write the answers of a request: JSON, CSV or an Arrow stream."""

from typing import TYPE_CHECKING, Any

import orjson

from pipeline.service.answered import ModelIdentity, Outputs
from pipeline.service.requests.bodies import ARROW, CSV, JSON

if TYPE_CHECKING:
    import pyarrow as pa


def render(accept: str, model: ModelIdentity, outputs: Outputs, ids: list[str], single: bool) -> tuple[bytes, str]:
    """Write answers as the sender takes them.

    Parameters
    ----------
    accept : str
        The request's header; JSON unless it names ``text/csv`` or ``application/vnd.apache.arrow.stream`` first.
    model : ModelIdentity
    outputs : Outputs
    ids : list of str, length n_rows
        A prediction id a row.
    single : bool
        Whether one row was asked for, not a list of rows; of concern to JSON only.

    Returns
    -------
    body : bytes
    media_type : str
    """
    media_type = JSON if accept in ("*/*", "", JSON) else _wanted(accept)
    if media_type == JSON:
        answers = _objects(model, outputs, ids)
        return orjson.dumps(answers[0] if single else answers), JSON
    import pyarrow as pa

    table = _table(model, outputs, ids)
    sink = pa.BufferOutputStream()
    if media_type == CSV:
        from pyarrow.csv import write_csv

        write_csv(table, sink)
    else:
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
    return sink.getvalue().to_pybytes(), media_type


def _wanted(accept: str) -> str:
    """Return which of the media types an Accept header puts first."""
    best, media_type = 0.0, JSON
    for part in accept.lower().split(","):
        name, *parameters = (text.strip() for text in part.split(";"))
        weight = next((text[2:] for text in parameters if text.startswith("q=")), "1")
        try:
            quality = float(weight)
        except ValueError:
            continue
        if quality > best and name in (JSON, CSV, ARROW, "application/*", "*/*"):
            best, media_type = quality, name if name in (CSV, ARROW) else JSON
    return media_type


def _objects(model: ModelIdentity, outputs: Outputs, ids: list[str]) -> list[dict[str, Any]]:
    version, probabilities, confidences = model.version, outputs.probabilities, outputs.confidences
    if probabilities is None or confidences is None:
        return [
            {"prediction": prediction, "model_version": version, "prediction_id": id_}
            for prediction, id_ in zip(outputs.predictions, ids, strict=True)
        ]
    labels = [str(label) for label in model.labels or []]
    return [
        {
            "prediction": prediction,
            "label": str(prediction),
            "confidence": confidence,
            "probabilities": dict(zip(labels, row, strict=True)),
            "model_version": version,
            "prediction_id": id_,
        }
        for prediction, confidence, row, id_ in zip(outputs.predictions, confidences, probabilities, ids, strict=True)
    ]


def _table(model: ModelIdentity, outputs: Outputs, ids: list[str]) -> "pa.Table":
    import pyarrow as pa

    columns: dict[str, Any] = {"prediction": outputs.predictions}
    if outputs.probabilities is not None:
        columns |= {"label": list(map(str, outputs.predictions)), "confidence": outputs.confidences}
        by_label = zip(model.labels or [], zip(*outputs.probabilities, strict=True), strict=True)
        columns |= {f"probability.{label}": list(values) for label, values in by_label}
    return pa.table(columns | {"model_version": [model.version] * len(ids), "prediction_id": ids})

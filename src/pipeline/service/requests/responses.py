"""Write the predictions of a request as JSON, CSV or an Arrow stream."""

from typing import TYPE_CHECKING, Any

import orjson

from pipeline.service.records import ModelIdentity, Outputs
from pipeline.service.requests.bodies import ARROW, CSV, JSON

if TYPE_CHECKING:
    import pyarrow as pa


def render(accept: str, model: ModelIdentity, outputs: Outputs, ids: list[str], single: bool) -> tuple[bytes, str]:
    """Return the response body for some predictions, in the media type that the client prefers.

    Parameters
    ----------
    accept : str
        The Accept header; JSON unless it prefers ``text/csv`` or ``application/vnd.apache.arrow.stream``.
    model : ModelIdentity
    outputs : Outputs
    ids : list of str, length n_rows
        The prediction id of each row.
    single : bool
        Whether the request was one row, not a list of rows; affects JSON only.

    Returns
    -------
    body : bytes
    media_type : str
    """
    media_type = JSON if accept in ("*/*", "", JSON) else _preferred_media_type(accept)
    if media_type == JSON:
        predictions = _objects(model, outputs, ids)
        return orjson.dumps(predictions[0] if single else predictions), JSON
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


def _preferred_media_type(accept: str) -> str:
    """Return the supported media type with the highest quality in an Accept header; JSON if there is none."""
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
    classes = [str(label) for label in model.labels or []]
    return [
        {
            "prediction": prediction,
            "label": str(prediction),
            "confidence": confidence,
            "probabilities": dict(zip(classes, row, strict=True)),
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
        by_class = zip(model.labels or [], zip(*outputs.probabilities, strict=True), strict=True)
        columns |= {f"probability.{label}": list(values) for label, values in by_class}
    return pa.table(columns | {"model_version": [model.version] * len(ids), "prediction_id": ids})

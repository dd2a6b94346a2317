"""The service's OpenAPI document: FastAPI's, with schemas of rows and predictions for the model being served."""

import csv
import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fastapi.openapi.utils import get_openapi

from pipeline.service.requests.bodies import CSV, JSON

if TYPE_CHECKING:
    from fastapi import FastAPI

    from pipeline.service.models.served import ServedModel

Schema = dict[str, Any]
NUMBER: Schema = {"type": "number"}
COMMON_FIELDS: dict[str, Schema] = {
    "model_version": {"type": "integer", "minimum": 1},
    "prediction_id": {"type": "string", "minLength": 1, "description": "The id of the recorded prediction."},
}


def cached_document(app: "FastAPI", current_model: Callable[[], "ServedModel | None"]) -> Callable[[], dict[str, Any]]:
    """Return a function that returns the document for the model being served.

    The document is rebuilt only when the model changes: building it takes many milliseconds and blocks all requests.
    """
    cached: tuple[ServedModel | None, dict[str, Any]] | None = None

    def document() -> dict[str, Any]:
        nonlocal cached
        model = current_model()
        if cached is None or cached[0] is not model:
            cached = model, build_document(app, model)
        return cached[1]

    return document


def build_document(app: "FastAPI", model: "ServedModel | None") -> dict[str, Any]:
    """Return the OpenAPI document of all endpoints.

    Parameters
    ----------
    app : FastAPI
        With the routes of `add_routes`.
    model : ServedModel, optional
        The model whose columns and classes are described; without a model, a row is any object.

    Returns
    -------
    dict
        An OpenAPI 3.1 document.
    """
    document = get_openapi(
        title=app.title,
        version=str(model.version) if model else "0",
        description=_description(model),
        routes=app.routes,
    )
    document["components"]["schemas"] |= {
        "Row": _row(model),
        "Prediction": _prediction(model),
        "Explanation": _explanation(model),
    }
    if model is not None:
        row = model.example
        for path in ("/predict", "/explain"):
            content = document["paths"][path]["post"]["requestBody"]["content"]
            content[JSON]["examples"] = {"one row": {"value": row}, "many rows": {"value": [row, row]}}
            if CSV in content:
                content[CSV]["example"] = _as_csv(row)
    return document


def _description(model: "ServedModel | None") -> str:
    if model is None:
        return (
            "No model is being served: GET /health gives the reason. "
            "Once one is, this document describes its rows and predictions."
        )
    task, n_columns = model.card["task"], len(model.kinds)
    return f"{model.name}, version {model.version}: a {task} model for rows of {n_columns:,} columns."


def _row(model: "ServedModel | None") -> Schema:
    if model is None:
        return {"type": "object", "description": "A row: raw columns and their values."}
    return {**model.schema.json_schema(), "description": "A row with all raw columns.", "examples": [model.example]}


def _prediction(model: "ServedModel | None") -> Schema:
    if model is None:
        return {
            "type": "object",
            "properties": {"prediction": {}, **COMMON_FIELDS},
            "required": ["prediction", *COMMON_FIELDS],
        }
    if model.labels is None:
        return _object({"prediction": NUMBER} | COMMON_FIELDS)
    classes = [str(label) for label in model.labels]
    probability: Schema = {"type": "number", "minimum": 0, "maximum": 1}
    classification_fields: dict[str, Schema] = {
        "prediction": {"enum": model.labels, "description": "The predicted class, in its original type."},
        "label": {"enum": classes, "description": "The predicted class, as text."},
        "confidence": {"type": "number", "minimum": 0, "maximum": 100, "description": "Its probability, in percent."},
        "probabilities": _object(dict.fromkeys(classes, probability)),
    }
    return _object(classification_fields | COMMON_FIELDS)


def _explanation(model: "ServedModel | None") -> Schema:
    if model is None:
        return {"type": "object"}
    classes = [str(label) for label in model.labels or []]
    base_value, shap_values = NUMBER, _object(dict.fromkeys(model.raw.feature_names, NUMBER))
    if len(classes) > 2:
        base_value = _object(dict.fromkeys(classes, NUMBER))
        shap_values = _object(dict.fromkeys(classes, shap_values))
    return _object(
        {
            "prediction": {"enum": model.labels} if model.labels else NUMBER,
            "model_version": COMMON_FIELDS["model_version"],
            "unit": {"enum": ["log-odds", "probability"] if classes else ["", "log"]},
            "label": {
                "enum": classes or [None],
                "description": "The explained class; for multiclass models the predicted one.",
            },
            "base_value": base_value,
            "shap_values": shap_values,
        }
    )


def _object(properties: dict[str, Schema]) -> Schema:
    """Return the schema of an object that has exactly these properties."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _as_csv(row: dict[str, Any]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([row.keys(), row.values()])
    return text.getvalue()

"""The service's OpenAPI document: FastAPI's, with rows and predictions as the model that is served has them."""

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
OF_MODEL: dict[str, Schema] = {
    "model_version": {"type": "integer", "minimum": 1},
    "prediction_id": {"type": "string", "minLength": 1, "description": "By which the recorded prediction is found."},
}


def documents(app: "FastAPI", model: Callable[[], "ServedModel | None"]) -> Callable[[], dict[str, Any]]:
    """Return a function that gives the document of the model that is served now.

    It is made anew for another model only: FastAPI's part takes many milliseconds, in which no one else is answered.
    """
    made: tuple[ServedModel | None, dict[str, Any]] | None = None

    def current() -> dict[str, Any]:
        nonlocal made
        served = model()
        if made is None or made[0] is not served:
            made = served, document(app, served)
        return made[1]

    return current


def document(app: "FastAPI", model: "ServedModel | None") -> dict[str, Any]:
    """Describe all endpoints.

    Parameters
    ----------
    app : FastAPI
        With the routes of `add_routes`.
    model : ServedModel, optional
        Whose columns and labels are described; without one, rows are objects of any columns.

    Returns
    -------
    dict
        An OpenAPI 3.1 document.
    """
    found = get_openapi(
        title=app.title,
        version=str(model.version) if model else "0",
        description=_described(model),
        routes=app.routes,
    )
    found["components"]["schemas"] |= {
        "Row": _row(model),
        "Prediction": _prediction(model),
        "Explanation": _explanation(model),
    }
    if model is not None:
        row = model.example
        for path in ("/predict", "/explain"):
            content = found["paths"][path]["post"]["requestBody"]["content"]
            content[JSON]["examples"] = {"one row": {"value": row}, "many rows": {"value": [row, row]}}
            if CSV in content:
                content[CSV]["example"] = _as_csv(row)
    return found


def _described(model: "ServedModel | None") -> str:
    if model is None:
        return "No model is served yet: GET /health says why. Rows and answers are described when there is one."
    return f"{model.name}, version {model.version}: a {model.card['task']} of rows with {len(model.kinds):,} columns."


def _row(model: "ServedModel | None") -> Schema:
    if model is None:
        return {"type": "object", "description": "A row: raw columns and their values."}
    return {**model.schema.json_schema(), "description": "A row: all raw columns.", "examples": [model.example]}


def _prediction(model: "ServedModel | None") -> Schema:
    if model is None:
        return {"type": "object", "properties": {"prediction": {}, **OF_MODEL}, "required": ["prediction", *OF_MODEL]}
    if model.labels is None:
        return _object({"prediction": NUMBER} | OF_MODEL)
    texts = [str(label) for label in model.labels]
    share: Schema = {"type": "number", "minimum": 0, "maximum": 1}
    classified: dict[str, Schema] = {
        "prediction": {"enum": model.labels, "description": "The most probable label, in its own type."},
        "label": {"enum": texts, "description": "The same as text."},
        "confidence": {"type": "number", "minimum": 0, "maximum": 100, "description": "Its probability, in %."},
        "probabilities": _object(dict.fromkeys(texts, share)),
    }
    return _object(classified | OF_MODEL)


def _explanation(model: "ServedModel | None") -> Schema:
    if model is None:
        return {"type": "object"}
    texts = [str(label) for label in model.labels or []]
    base, values = NUMBER, _object(dict.fromkeys(model.raw.feature_names, NUMBER))
    if len(texts) > 2:
        base, values = _object(dict.fromkeys(texts, NUMBER)), _object(dict.fromkeys(texts, values))
    return _object(
        {
            "prediction": {"enum": model.labels} if model.labels else NUMBER,
            "model_version": OF_MODEL["model_version"],
            "unit": {"enum": ["log-odds", "probability"] if texts else [""]},
            "label": {"enum": texts or [None], "description": "Which label is explained."},
            "base_value": base,
            "shap_values": values,
        }
    )


def _object(properties: dict[str, Schema]) -> Schema:
    """Return the schema of an object with these properties, and no others."""
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

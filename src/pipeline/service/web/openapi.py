"""The service's OpenAPI document, made for the model that is served."""

import csv
import io
from typing import TYPE_CHECKING, Any

from pipeline.service.requests.bodies import ARROW, CSV, JSON
from pipeline.service.web import answer_schemas as schemas

if TYPE_CHECKING:
    from pipeline.service.models.served import ServedModel
    from pipeline.service.settings import Settings

REFUSALS = {
    "400": "The body is not what its content type says",
    "401": "The API key is missing or wrong",
    "408": "The body did not arrive in time",
    "413": "The body is too large, or has too many rows",
    "415": "The content type is another",
    "422": "A column is missing, unknown or there twice, or a value is not what its column takes; or there is no row",
    "503": "No model is served",
}
OF_BODIES = ("400", "408", "413", "415", "422", "503")
KEY = "X-API-Key"


def document(model: "ServedModel | None", settings: "Settings") -> dict[str, Any]:
    """Describe all endpoints.

    Parameters
    ----------
    model : ServedModel, optional
        Whose columns and labels are described; without one, rows are objects of any columns.
    settings : Settings

    Returns
    -------
    dict
        An OpenAPI 3.1 document.
    """
    has_key = settings.service_api_key is not None
    components: dict[str, Any] = {
        "schemas": {
            "Row": _row(model),
            "Prediction": schemas.prediction(model),
            "Explanation": schemas.explanation(model),
            "Health": schemas.health(),
            "Model": schemas.card(),
            "Drift": schemas.drift(),
            "Error": schemas.ERROR,
        }
    }
    if has_key:
        components["securitySchemes"] = {"key": {"type": "apiKey", "in": "header", "name": KEY}}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": settings.mlflow_model_name,
            "version": str(model.version) if model else "0",
            "description": _described(model),
        },
        "paths": {
            "/predict": {"post": _predict(model, settings, has_key)},
            "/explain": {"post": _explain(model, settings, has_key)},
            "/model": {"get": _get("The model that is served", "model", _json(_ref("Model")), has_key, ("503",))},
            "/drift": {
                "get": _get("The last look at the recent predictions", "drift", _json(_ref("Drift")), has_key, ("503",))
            },
            "/metrics": {
                "get": _get(
                    "Counters and histograms for Prometheus", "metrics", {"text/plain": _of(schemas.TEXT)}, has_key
                )
            },
            "/health": {"get": _health()},
            "/": {"get": _get("The page", "page", {"text/html": _of(schemas.TEXT)}, False)},
        },
        "components": components,
    }


def _described(model: "ServedModel | None") -> str:
    if model is None:
        return "No model is served yet: GET /health says why. Rows and answers are described when there is one."
    return f"{model.name}, version {model.version}: a {model.card['task']} of rows with {len(model.kinds):,} columns."


def _row(model: "ServedModel | None") -> dict[str, Any]:
    if model is None:
        return {"type": "object", "description": "A row: raw columns and their values."}
    return {**model.schema.json_schema(), "description": "A row: all raw columns.", "examples": [model.example]}


def _predict(model: "ServedModel | None", settings: "Settings", has_key: bool) -> dict[str, Any]:
    answers: dict[str, Any] = _json(_one_or_many("Prediction")) | {CSV: _of(schemas.TEXT), ARROW: _of({})}
    limits = f"at most {settings.service_max_rows:,} rows and {settings.service_max_body_bytes:,} bytes"
    return {
        "operationId": "predict",
        "summary": "Predict a row, or many",
        "description": f"Send {limits}. The answers are in the order of the rows; CSV or an Arrow stream where the "
        "header Accept asks for it.",
        "parameters": [_request_key()],
        "requestBody": {
            "required": True,
            "content": _rows(model)
            | {
                CSV: {"schema": {"type": "string", "description": "A header and rows; an empty field is missing."}}
                | ({"example": _as_csv(model.example)} if model else {}),
                ARROW: {"schema": {"description": "An uncompressed stream of record batches (IPC)."}},
            },
        },
        "responses": {"200": {"description": "An answer, or a list of them", "content": answers}}
        | _refusals(OF_BODIES, has_key),
        **_security(has_key),
    }


def _explain(model: "ServedModel | None", settings: "Settings", has_key: bool) -> dict[str, Any]:
    return {
        "operationId": "explain",
        "summary": "Explain the prediction of a row, or of many, by SHAP values",
        "description": f"Send at most {settings.service_max_explained_rows:,} rows. base_value and the sum of "
        "shap_values are the prediction in its unit; of more than two labels, of each label.",
        "parameters": [_request_key()],
        "requestBody": {"required": True, "content": _rows(model)},
        "responses": {
            "200": {"description": "An explanation, or a list of them", "content": _json(_one_or_many("Explanation"))}
        }
        | _refusals(OF_BODIES, has_key),
        **_security(has_key),
    }


def _rows(model: "ServedModel | None") -> dict[str, Any]:
    content = _json(_one_or_many("Row"))
    if model is not None:
        row = model.example
        content[JSON]["examples"] = {"one row": {"value": row}, "many rows": {"value": [row, row]}}
    return content


def _as_csv(row: dict[str, Any]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([row.keys(), row.values()])
    return text.getvalue()


def _health() -> dict[str, Any]:
    content = _json(_ref("Health"))
    return {
        "operationId": "health",
        "summary": "Whether rows are answered",
        "responses": {
            "200": {"description": "A model is served", "content": content},
            "503": {"description": "No model is served; reason says why", "content": content},
        },
    }


def _get(
    summary: str, name: str, content: dict[str, Any], has_key: bool, refusals: tuple[str, ...] = ()
) -> dict[str, Any]:
    return {
        "operationId": name,
        "summary": summary,
        "responses": {"200": {"description": summary, "content": content}} | _refusals(refusals, has_key),
        **_security(has_key),
    }


def _refusals(statuses: tuple[str, ...], has_key: bool) -> dict[str, Any]:
    statuses = (*statuses, "401") if has_key else statuses
    return {status: {"description": REFUSALS[status], "content": _json(_ref("Error"))} for status in sorted(statuses)}


def _security(has_key: bool) -> dict[str, Any]:
    return {"security": [{"key": []}]} if has_key else {}


def _request_key() -> dict[str, Any]:
    return {
        "name": "X-Request-Key",
        "in": "header",
        "description": "Requests of the same key are answered by the same version while a challenger is tried.",
        "schema": schemas.TEXT,
    }


def _one_or_many(name: str) -> dict[str, Any]:
    return {"oneOf": [_ref(name), {"type": "array", "items": _ref(name), "minItems": 1}]}


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {JSON: _of(schema)}


def _of(schema: dict[str, Any]) -> dict[str, Any]:
    return {"schema": schema}

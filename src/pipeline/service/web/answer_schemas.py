"""JSON schemas of what the service answers, exact for the model that is served."""

from collections.abc import Iterable
from typing import Any

from pipeline.service.models.served import ServedModel

Schema = dict[str, Any]
TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "number"}
COUNT: Schema = {"type": "integer", "minimum": 0}
YES_OR_NO: Schema = {"type": "boolean"}
TEXTS: Schema = {"type": "array", "items": TEXT}
OBJECT: Schema = {"type": "object"}
VERSION: Schema = {"type": "integer", "minimum": 1}
ID: Schema = {"type": "string", "minLength": 1, "description": "By which the recorded prediction is found."}

ERROR: Schema = {
    "type": "object",
    "properties": {
        "detail": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "properties": {
                    "loc": {
                        "type": "array",
                        "items": {"type": ["string", "integer"]},
                        "description": "body, the row's number from 0 where there are many, the column.",
                    },
                    "msg": TEXT,
                    "type": TEXT,
                },
                "required": ["loc", "msg", "type"],
                "additionalProperties": False,
            },
        }
    },
    "required": ["detail"],
    "additionalProperties": False,
}


def of_object(properties: dict[str, Schema]) -> Schema:
    """Return the schema of an object with these properties, and no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def or_null(schema: Schema) -> Schema:
    """Return the schema of the same values, or null."""
    return {**schema, "type": [schema["type"], "null"]}


def numbers_by(names: Iterable[str], of: Schema = NUMBER) -> Schema:
    """Return the schema of an object with a number for each name."""
    return of_object({name: of for name in names})


def prediction(model: ServedModel | None) -> Schema:
    """Return the schema of a row's answer."""
    if model is None:
        return {
            "type": "object",
            "properties": {"prediction": {}, "model_version": VERSION, "prediction_id": ID},
            "required": ["prediction", "model_version", "prediction_id"],
        }
    whose: dict[str, Schema] = {"model_version": VERSION, "prediction_id": ID}
    if model.labels is None:
        return of_object({"prediction": NUMBER} | whose)
    texts = [str(label) for label in model.labels]
    share: Schema = {"type": "number", "minimum": 0, "maximum": 1}
    classified: dict[str, Schema] = {
        "prediction": {"enum": model.labels, "description": "The most probable label, in its own type."},
        "label": {"enum": texts, "description": "The same as text."},
        "confidence": {"type": "number", "minimum": 0, "maximum": 100, "description": "Its probability, in %."},
        "probabilities": numbers_by(texts, share),
    }
    return of_object(classified | whose)


def explanation(model: ServedModel | None) -> Schema:
    """Return the schema of a row's explanation."""
    if model is None:
        return OBJECT
    texts = [str(label) for label in model.labels or []]
    base, values = NUMBER, numbers_by(model.raw.feature_names)
    if len(texts) > 2:
        base, values = numbers_by(texts), of_object(dict.fromkeys(texts, values))
    return of_object(
        {
            "prediction": {"enum": model.labels} if model.labels else NUMBER,
            "model_version": VERSION,
            "unit": {"enum": ["log-odds", "probability"] if texts else [""]},
            "label": {"enum": texts or [None], "description": "Which label is explained."},
            "base_value": base,
            "shap_values": values,
        }
    )


def health() -> Schema:
    """Return the schema of GET /health."""
    return of_object(
        {
            "status": {"enum": ["ok", "no model"]},
            "reason": or_null(TEXT),
            "model_name": TEXT,
            "model_version": or_null(VERSION),
            "source": {"enum": ["registry", "export", None]},
            "challenger_version": or_null(VERSION),
            "warnings": TEXTS,
            "drift_detected": YES_OR_NO,
            "tracking": of_object(
                {
                    "state": {"enum": ["off", "starting", "ok", "retrying"]},
                    "run_id": or_null(TEXT),
                    "error": or_null(TEXT),
                    "queued_points": COUNT,
                    "dropped_points": COUNT,
                }
            ),
            "recording": of_object(
                {
                    "queued_rows": COUNT,
                    "written_rows": COUNT,
                    "dropped_rows": COUNT,
                    "last_error": or_null(TEXT),
                }
            ),
            "uptime_seconds": {"type": "number", "minimum": 0},
        }
    )


def card() -> Schema:
    """Return the schema of GET /model."""
    return of_object(
        {
            "name": TEXT,
            "version": VERSION,
            "stage": TEXT,
            "source": {"enum": ["registry", "export"]},
            "run_id": TEXT,
            "model_id": or_null(TEXT),
            "family": TEXT,
            "task": {"enum": ["regression", "classification"]},
            "labels": or_null({"type": "array", "items": {"type": ["string", "integer", "boolean"]}}),
            "metrics": {"type": "object", "additionalProperties": or_null(NUMBER)},
            "signature": of_object({"inputs": {"type": "array"}, "outputs": {"type": "array"}}),
            "features": TEXTS,
            "hashes": numbers_by(["model_sha256", "logged_model_sha256", "data_sha256"], or_null(TEXT)),
            "git_commit": or_null(TEXT),
            "engine": OBJECT,
            "trained_at": TEXT,
        }
    )


def drift() -> Schema:
    """Return the schema of GET /drift."""
    share: Schema = {"type": "number", "minimum": 0, "maximum": 1}
    compared = of_object(
        {
            "column": TEXT,
            "kind": TEXT,
            "test": TEXT,
            "statistic": or_null(NUMBER),
            "p_value": or_null(share),
            "psi": NUMBER,
            "missing_share": share,
            "reference_missing_share": share,
            "missing_p_value": or_null(share),
            "missing_psi": or_null(NUMBER),
            "alarm": YES_OR_NO,
        }
    )
    report = {
        "model_version": or_null(VERSION),
        "detected": YES_OR_NO,
        "alarms": TEXTS,
        "checked_at": or_null(TEXT),
        "window": numbers_by(["rows", "size", "min_rows"], COUNT),
        "recent": OBJECT,
        "rules": {
            "type": "array",
            "items": of_object({"name": TEXT, "value": NUMBER, "limit": NUMBER, "alarm": YES_OR_NO}),
        },
        "columns": {"type": "array", "items": compared},
        "prediction": or_null(compared),
        "confidence": or_null(compared),
        "alpha": NUMBER,
        "psi_limit": or_null(NUMBER),
        "note": or_null(TEXT),
    }
    return of_object(report | {"challenger": or_null(of_object(report))})

"""The endpoints of the prediction service, from its OpenAPI document."""

from collections.abc import Iterator
from typing import Any

from reference_pages.json_schema import Schema, type_in_words
from reference_pages.markdown import code, prose, table


def endpoints() -> str:
    """Return a section for each endpoint, then one for each schema."""
    document = openapi_document()
    operations = [
        (method, path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    parts = [part for operation in operations for part in _operation(*operation)]
    parts += ["## Schemas", "Objects in request bodies and responses."]
    for name, schema in sorted(document["components"]["schemas"].items()):
        parts += _schema(name, schema)
    return "\n\n".join(part for part in parts if part)


def openapi_document() -> dict[str, Any]:
    """Return the document of a service with default settings and an API key, and without a model."""
    from fastapi import FastAPI
    from pydantic import SecretStr
    from starlette.requests import Request
    from starlette.responses import Response

    from pipeline.service.settings import Settings
    from pipeline.service.tracking.prometheus import ENDPOINTS
    from pipeline.service.web.openapi import build_document
    from pipeline.service.web.pages import add_pages
    from pipeline.service.web.routes import add_routes

    async def unanswered(request: Request) -> Response:
        raise NotImplementedError(request.url)

    app = FastAPI(title="Prediction service", docs_url=None, redoc_url=None)
    add_pages(app)
    # The defaults, whatever the environment of the build sets.
    settings = Settings.model_construct(service_api_key=SecretStr("key"))
    add_routes(app, dict.fromkeys(ENDPOINTS, unanswered), settings)
    return build_document(app, None)


def _operation(method: str, path: str, operation: dict[str, Any]) -> Iterator[str]:
    name = f"{method.upper()} {path}"
    yield f"## {name} {{ #{operation['operationId']} }}"
    yield _sentence(operation["summary"])
    yield prose(operation.get("description"))
    if operation.get("security"):
        yield "Requires the API key, if the service has one."
    parameters = [
        (code(found["name"]), found["in"], type_in_words(found["schema"], _link), prose(found.get("description")))
        for found in operation.get("parameters", ())
    ]
    if parameters:
        yield table(("Parameter", "In", "Type", "Description"), parameters)
    if "requestBody" in operation:
        yield "**Request body**"
        yield table(("Content type", "Body", "Description"), _contents(operation["requestBody"]["content"]))
    yield "**Responses**"
    yield table(("Status", "Content type", "Body", "Description"), _responses(operation["responses"]))


def _responses(responses: dict[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    for status, response in responses.items():
        contents = _contents(response.get("content", {}))
        for content_type, body, description in contents or [("", "", "")]:
            yield (
                status,
                content_type,
                body,
                _sentence(response["description"]) + (f" {description}" if description else ""),
            )


def _contents(contents: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [
        (
            code(content_type),
            type_in_words(schema, _link) if "type" in schema or len(schema) else "",
            prose(schema.get("description")),
        )
        for content_type, schema in (
            (content_type, content.get("schema", {})) for content_type, content in contents.items()
        )
    ]


def _schema(name: str, schema: Schema) -> Iterator[str]:
    yield f"### {name} {{ #{_anchor(name)} }}"
    yield prose(schema.get("description"))
    required = schema.get("required", ())
    rows = [
        (code(key), type_in_words(value, _link), "yes" if key in required else "no", prose(value.get("description")))
        for key, value in schema.get("properties", {}).items()
    ]
    if rows:
        yield table(("Key", "Type", "Always present", "Description"), rows)


def _sentence(text: str) -> str:
    return prose(text.removesuffix(".") + ".")


def _link(name: str) -> str:
    return f"[{name}](#{_anchor(name)})"


def _anchor(name: str) -> str:
    return f"schema-{name.lower()}"

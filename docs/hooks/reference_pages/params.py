"""The keys of params.yaml, from the schema that checks it."""

from collections.abc import Iterator
from typing import Any

from reference_pages.json_schema import Schema, default_in_words, type_in_words
from reference_pages.markdown import anchored, prose, table

HEADINGS = ("Key", "Type", "Default", "Description")


def params() -> str:
    """Return a heading and a table for each section of params.yaml."""
    from pipeline.params.schema import Params

    schema = Params.model_json_schema()
    return "\n\n".join(_sections(schema, schema["$defs"]))


def _sections(schema: Schema, definitions: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield the section's own table, if it has plain keys, then its subsections."""
    required = schema.get("required", ())
    subsections = {key: _section_of(value, definitions) for key, value in schema["properties"].items()}
    rows = []
    for key, value in schema["properties"].items():
        section, name = subsections[key], f"{prefix}{key}"
        kind = f"section [`{name}`](#{_anchor(name)})" if section else type_in_words(value, _reference)
        if section and any(option.get("type") == "null" for option in value.get("anyOf", ())):
            kind += " or `null`"
        default = "required" if key in required else default_in_words(value)
        default = "" if section and default.startswith("`{") else default
        rows.append((anchored(key, f"key-{name}"), kind, default, prose(value.get("description"))))
    if prefix:
        yield table(HEADINGS, rows)
    for key, section in subsections.items():
        if section:
            name = f"{prefix}{key}"
            level = "#" * (2 + name.count("."))
            yield f"{level} `{name}` {{ #{_anchor(name)} }}"
            yield prose(section.get("description"))
            yield from _sections(section, definitions, f"{name}.")


def _section_of(schema: Schema, definitions: dict[str, Any]) -> Schema | None:
    """Return the schema of a subsection; None for a plain key."""
    options = [schema, *schema.get("anyOf", ()), *schema.get("allOf", ())]
    names = [option["$ref"].rpartition("/")[2] for option in options if "$ref" in option]
    return definitions[names[0]] if names else None


def _anchor(name: str) -> str:
    return name.replace(".", "-")


def _reference(name: str) -> str:
    return "[range](#ranges)" if name == "Range" else f"`{name}`"

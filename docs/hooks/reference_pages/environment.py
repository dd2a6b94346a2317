"""The prediction service's settings, from the class that reads them."""

from reference_pages.json_schema import default_in_words, type_in_words
from reference_pages.markdown import anchored, prose, table


def service_settings() -> str:
    """Return a table of the environment variables that the service reads."""
    from pipeline.service.settings import Settings

    rows = []
    for name, schema in Settings.model_json_schema()["properties"].items():
        kind = type_in_words(schema).replace(" or `null`", "")
        default = default_in_words(schema)
        variable = name.upper()
        shown = "" if default == "`null`" else default.replace('"', "")
        rows.append((anchored(variable, variable.lower()), kind, shown, prose(schema.get("description"))))
    return table(("Variable", "Type", "Default", "Description"), rows)

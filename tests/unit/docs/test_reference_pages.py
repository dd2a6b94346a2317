"""The generated parts of the reference hold what the code has."""

import argparse
import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from pipeline import errors
from pipeline.learn.families import family, names
from pipeline.params.schema import Params
from pipeline.service.settings import Settings
from reference_pages import GENERATORS
from reference_pages.commands import load_parser, section
from reference_pages.endpoints import openapi_document
from reference_pages.json_schema import type_in_words
from reference_pages.markdown import prose, table
from support.repositories import ROOT

SCRIPTS = sorted((ROOT / "src").glob("*.py"))
SUFFIXES = re.compile("_(bucket|count|sum)$")


def row(page: str, cell: str) -> str:
    """Return the row of a page's tables that starts with a cell."""
    (found,) = [line for line in page.splitlines() if line.startswith(f"| {cell}")]
    return found


def keys(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str | None]]:
    """Yield the dotted name and the description of each key, of sections too."""
    for name, field in model.model_fields.items():
        key = f"{prefix}{field.alias or name}"
        yield key, field.description
        sections = [field.annotation, *getattr(field.annotation, "__args__", ())]
        for found in sections:
            if isinstance(found, type) and issubclass(found, BaseModel):
                yield from keys(found, f"{key}.")


def actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Yield what a parser takes, subcommands included."""
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for subparser in action.choices.values():
                yield from actions(subparser)


def test_each_key_of_params_yaml_has_a_row_with_its_description() -> None:
    page = GENERATORS["params"]()
    found = dict(keys(Params))
    assert {"dataset.split.test_size", "register.gate.confidence", "features.neighbors.k"} <= set(found)
    for key, description in found.items():
        if "." in key:
            assert prose(description) in row(page, f"`{key.rpartition('.')[2]}`{{ #key-{key} }}")
        else:
            assert f"## `{key}`" in page


def test_types_bounds_and_defaults_are_in_words() -> None:
    page = GENERATORS["params"]()
    assert "| number &gt; 0 and &lt; 1 | `0.2` |" in row(page, "`test_size`")
    assert "| integer from 1 to 1,000 | required |" in row(page, "`k`")
    assert "| list of 1 to 10 strings | required |" in row(page, "`by`")
    assert "section [`features.neighbors`](#features-neighbors) or `null` | `null` |" in row(page, "`neighbors`")


@pytest.mark.parametrize("name", names())
def test_each_hyperparameter_of_a_family_has_a_row(name: str) -> None:
    page = GENERATORS["hyperparameters"]()
    (part,) = re.findall(rf"^### `{name}`.*?(?=^###|\Z)", page, re.MULTILINE | re.DOTALL)
    for parameter in family(name).parameters:
        assert row(part, f"`{parameter}` ")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_each_option_of_a_command_is_in_its_section(script: Path) -> None:
    parser = load_parser(script)
    page = section(script.name, parser)
    assert page in GENERATORS["commands"]()
    for action in actions(parser):
        if isinstance(action, argparse._HelpAction | argparse._SubParsersAction):
            continue
        name = action.option_strings[0] if action.option_strings else action.metavar or "{"
        text = prose(action.help.replace(" (default: %(default)s)", ""))
        assert any(text in line for line in page.splitlines() if line.startswith(f"| `{name}"))
        assert all(option in page for option in action.option_strings)
    assert "\x1b" not in page


def test_a_script_without_a_parser_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "silent.py").write_text("")
    with pytest.raises(AttributeError, match="build_parser"):
        load_parser(tmp_path / "silent.py")


def test_each_setting_of_the_service_has_a_row_with_a_description() -> None:
    page = GENERATORS["service-settings"]()
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert prose(field.description) in row(page, f"`{name.upper()}`{{")


def test_each_environment_variable_that_the_code_names_is_on_the_page() -> None:
    page = (ROOT / "docs/reference/environment.md").read_text() + GENERATORS["service-settings"]()
    found = set()
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call | ast.Subscript) and "os.environ" in ast.unparse(node):
                inner = node.args[:1] if isinstance(node, ast.Call) else [node.slice]
                found |= {one.value for one in inner if isinstance(one, ast.Constant)}
    assert "MLFLOW_TRACKING_URI" in found
    assert {name for name in found - {"PATH"} if f"`{name}`" not in page} == set()


def test_each_endpoint_and_schema_is_on_the_page() -> None:
    page, document = GENERATORS["endpoints"](), openapi_document()
    paths = set(document["paths"])
    assert {"/", "/predict", "/explain", "/model", "/drift", "/health", "/metrics"} == paths
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert f"## {method.upper()} {path} {{" in page
            assert all(f"\n| {status} | " in page for status in operation["responses"])
    for name in document["components"]["schemas"]:
        assert f"### {name} {{" in page


def test_limits_are_the_defaults_whatever_the_environment_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_MAX_ROWS", "7")
    assert "at most 10,000 rows" in GENERATORS["endpoints"]()


def test_each_error_class_has_a_row_with_its_exit_code() -> None:
    page = GENERATORS["error-classes"]()
    classes = [found for found in vars(errors).values() if isinstance(found, type)]
    assert len(classes) > 5
    for found in classes:
        assert f" | {found.exit_code} | `{found.label}:` | " in row(page, f"`{found.__name__}` ")


def test_metrics_that_alerts_and_dashboards_use_are_on_the_page() -> None:
    page = GENERATORS["prometheus-metrics"]()
    rules = "\n".join(path.read_text() for path in (ROOT / "deploy/prometheus").glob("*.yml"))
    used = {SUFFIXES.sub("", name) for name in re.findall(r"\bprediction_\w+", rules)}
    assert len(used) > 5
    assert {name for name in used if f"| `{name}` |" not in page} == set()
    assert "| `prediction_psi` | gauge | `arm`, `column` |" in page


def test_an_unknown_type_is_an_error() -> None:
    assert type_in_words({"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}]}) == "integer ≥ 1 or `null`"
    with pytest.raises(ValueError, match=r'"tuple"\} is unknown'):
        type_in_words({"type": "tuple"})


def test_cells_hold_any_text_and_rows_fit() -> None:
    assert prose("a | b < c `d | e`") == "a &#124; b &lt; c `d | e`"
    assert table(["a", "b"], [["1\n2", "3"]]).splitlines()[2] == "| 1 2 | 3 |"
    with pytest.raises(ValueError, match="1 cells, and the table 2 columns"):
        table(["a", "b"], [["1"]])


def test_help_with_a_placeholder_is_filled_in() -> None:
    parser = argparse.ArgumentParser(description="Count.")
    parser.add_argument("--times", default=3, help="how often (%(default)s)")
    assert row(section("count.py", parser), "`--times TIMES`") == "| `--times TIMES` | `3` | how often (3) |"

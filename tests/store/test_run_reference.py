"""The tables of docs/reference/runs.md hold what real runs hold, and nothing else."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.store.open import open_store
from support.folders import enter
from support.repositories import ROOT
from support.standard import Standard

pytestmark = pytest.mark.xdist_group("standard")

PAGE = ROOT / "docs/reference/runs.md"
ROW = re.compile(r"^\| (?P<names>`[^|]*) \| (?P<tasks>[^|]*) \| (?P<families>[^|]*) \| [^|]+ \|$", re.MULTILINE)
PLACEHOLDERS = {
    "<loss>": "(?:rmse|log_loss)",
    "<k>": r"\d+",
    "<threshold>": r"[\d.]+",
    "<kind>": "(?:weight|gain|cover)",
}


def documented(heading: str, kind: str, family: str) -> set[str]:
    """Return patterns of the names that the page has below a heading for a task and a family."""
    (section,) = re.findall(rf"^## {heading}\n(.*?)(?=^## |\Z)", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    tasks = {"all", kind} | ({"classification"} if kind != "regression" else set())
    rows = [row for row in ROW.finditer(section) if row["tasks"] in tasks]
    rows = [row for row in rows if row["families"] == "all" or family in row["families"].split(", ")]
    return {pattern(name) for row in rows for name in re.findall(r"`([^`]+)`", row["names"])}


def pattern(name: str) -> str:
    """Return the regular expression of a documented name."""
    parts = re.split(r"(<\w+>)", name)
    return "".join(PLACEHOLDERS.get(part, ".+") if part.startswith("<") else re.escape(part) for part in parts)


def differences(patterns: set[str], names: set[str]) -> tuple[set[str], set[str]]:
    """Return the patterns that no name matches, and the names that no pattern matches."""
    unmatched = {found for found in patterns if not any(re.fullmatch(found, name) for name in names)}
    return unmatched, {name for name in names if not any(re.fullmatch(found, name) for found in patterns)}


@pytest.fixture
def runs(
    standard: tuple[Path, dict[tuple[str, str], Standard]], monkeypatch: pytest.MonkeyPatch
) -> dict[tuple[str, str], Standard]:
    enter(standard[0], monkeypatch)
    return standard[1]


def own_names(estimator: Any) -> Iterator[str]:
    """Yield the names of an estimator's parameters."""
    yield from estimator.get_params(deep=True)
    for step in getattr(estimator, "named_steps", {}).values():
        yield from step.get_params()


@pytest.mark.parametrize("heading", ["Metrics", "Parameters", "Tags", "Artifacts"])
def test_the_page_has_what_runs_have(heading: str, runs: dict[tuple[str, str], Standard]) -> None:
    for (kind, family), one in runs.items():
        run = one.run
        found: dict[str, set[str]] = {"Metrics": set(run.data.metrics), "Tags": set(run.data.tags)}
        if heading == "Artifacts":
            files = {file.path for file in open_store().list_artifacts(run.info.run_id)}
            found["Artifacts"] = {name for name in files if not name.startswith("training_")}
        patterns = documented(heading, kind, family)
        if heading == "Parameters":
            named = {name for name in run.data.params if any(re.fullmatch(pattern, name) for pattern in patterns)}
            own = {name.split("__")[-1] for name in own_names(one.experiment.fitted.model)}
            found["Parameters"] = named | {name for name in run.data.params if name.split("__")[-1] not in own}
        assert differences(patterns, found[heading]) == (set(), set()), (kind, family)


@pytest.mark.parametrize("tag", ["candidate", "fold"])
def test_the_page_has_what_nested_runs_have(tag: str, runs: dict[tuple[str, str], Standard]) -> None:
    (row,) = re.findall(rf"^\| {tag} \|(.*)\|$", PAGE.read_text(), re.MULTILINE)
    metrics, params, tags = (re.findall(r"`([^`]+)`", cell) for cell in row.split("|"))
    client = open_store()
    for one in runs.values():
        query = f"tags.`mlflow.parentRunId` = '{one.experiment.run_id}' and tags.{tag} != '' and tags.dropped != 'true'"
        query = query if tag == "candidate" else query.rpartition(" and ")[0]
        run = client.search_runs([one.run.info.experiment_id], query)[0]
        assert differences({pattern(name) for name in metrics}, set(run.data.metrics)) == (set(), set())
        assert set(params) <= set(run.data.params)
        assert set(tags) <= set(run.data.tags)


def test_a_missing_and_an_invented_name_are_found() -> None:
    patterns = documented("Metrics", "regression", "nn")
    names = {"test_rmse", "invented"}
    missing, invented = differences(patterns, names)
    assert invented == {"invented"}
    assert "test_mae" in missing
    assert "accuracy" not in missing

"""The page of all benchmarks: its figures come from one code, measured on an idle machine."""

import re
from typing import Any

import pytest
from results_page import FOLDER, render
from run_all import BENCHMARKS

NAMES = list(BENCHMARKS)
TEMPLATE = (FOLDER / "README.template.md").read_text()
BASELINES = {"busy": "ba5e", "fixed_cost": "0bad", "parts": "cafe"}


def result(**numbers: float) -> dict[str, Any]:
    return {
        "commit": "0123456789abcdef",
        "code": "c0de",
        "date": "2026-01-01 00:00:00",
        "seconds": 120,
        "machine": "2 cores",
        "versions": "xgboost 3.2.0",
        "load_average_before": [0.1, 0.2, 0.3],
        "load_average_after": [1.1, 0.9, 0.5],
        "other_processors_before": 0.01,
        "other_processors_after": 0.02,
        "numbers": numbers,
    }


@pytest.fixture
def results() -> dict[str, Any]:
    """Results of each benchmark with a different value for each placeholder of the template."""
    made = {name: result() for name in NAMES}
    keys = dict.fromkeys(re.findall(r"\{(\w+)\[(\w+)\]", TEMPLATE))
    for value, (name, key) in enumerate(keys, 1):
        if name != "run" and key not in ("minutes", "machine"):
            made[name]["numbers"][key] = value
    made["soak"]["numbers"]["minutes"] = 10
    return made


def rows(page: str) -> list[str]:
    return [line for line in page.splitlines() if line.startswith("|")]


def row(page: str, start: str) -> str:
    (found,) = [line for line in rows(page) if line.startswith(f"| {start}")]
    return found


def test_the_page_has_the_numbers_their_spread_and_the_targets(results: dict[str, Any]) -> None:
    results["busy"]["numbers"] |= {"busy_1": 1.2, "busy_1_min": 1.1, "busy_1_max": 1.4, "busy_1_seconds": 41.26}
    results["search"]["numbers"]["time_ratio"] = 0.25
    results["serving"]["numbers"] |= {"throughput_16_ratio": 9}
    page = render(results, NAMES, TEMPLATE, BASELINES)
    assert row(page, "beside 1") == "| beside 1 busy program | 41.3 s | 1.20 (1.10 - 1.40) | at most 1.3 |"
    assert row(page, "time to the CV RMSE").endswith("| 0.25 | at most 0.20: **missed** |")
    assert row(page, "one row, 16 connections").endswith("| 9 | at least 10: **missed** |")
    assert (
        row(page, "scale |") == "| scale | 2026-01-01 00:00:00 | 2.0 | 0.10 0.20 0.30 | 1.10 0.90 0.50 | 0.01, 0.02 |"
    )
    assert "Commit 0123456789;" in page
    assert "idle, over commit ba5e" in page
    assert "CPU of the iris example, over commit 0bad" in page
    assert "responds with `{}`" in page


def test_all_rows_of_a_table_have_as_many_cells(results: dict[str, Any]) -> None:
    del results["gpu"], results["busy"]["numbers"]["busy_quota"]
    numbers = {"a_rows": 9, "a_task": "regression", "a_project": 1, "b_refused": "no"}
    results["tables"]["numbers"] = numbers
    page = render(results, NAMES, TEMPLATE, BASELINES)
    for table in re.findall(r"(?:^\|.*\n)+", page, re.MULTILINE):
        assert len({line.count("|") for line in table.splitlines()}) == 1, table


def test_what_the_machine_cannot_measure_is_named(results: dict[str, Any]) -> None:
    del results["gpu"]
    for key in ("busy_quota", "busy_quota_seconds"):
        del results["busy"]["numbers"][key]
    page = render(results, NAMES, TEMPLATE, BASELINES)
    assert row(page, "quota") == "| quota of one core | not measured | not measured | at most 1.3 |"
    assert "not measured | at least 6 |" in row(page, "165,000")


def test_the_gpu_may_be_of_another_machine(results: dict[str, Any]) -> None:
    results["gpu"] |= {"machine": "16 cores, H100", "versions": "xgboost 3.3.0", "date": "2026-01-02 00:00:00"}
    page = render(results, NAMES, TEMPLATE, BASELINES)
    assert "2 cores; xgboost 3.2.0." in page
    assert "on 16 cores, H100:" in page


def test_tables_may_be_of_other_code_and_each_has_a_row(results: dict[str, Any]) -> None:
    numbers = {"a_b_rows": 4000, "a_b_task": "regression", "a_b_project": 1.5, "a_b_catboost": 2.0, "a_b_ratio": 0.75}
    numbers |= {"c_refused": "prepare.py: error: no", "share_won_catboost": 0.5, "ratio_catboost": 0.75}
    results["tables"] |= {"code": "older", "commit": "fedcba9876543210", "numbers": numbers}
    page = render(results, NAMES, TEMPLATE, BASELINES)
    assert row(page, "a_b") == "| a_b | 4,000 | RMSE | 1.5 | failed | 2 | failed | failed | failed | 0.750 |"
    assert row(page, "c ").startswith("| c |  | refused: prepare.py: error: no |")
    assert "| CatBoost | 0.750 | 50% | not measured |" in rows(page)
    assert "fedcba9876." in page


def test_without_tables_the_page_says_not_measured(results: dict[str, Any]) -> None:
    del results["tables"], results["small_tables"]
    page = render(results, NAMES, TEMPLATE, BASELINES)
    assert rows(page).count("| CatBoost | not measured | not measured | not measured |") == 2


@pytest.mark.parametrize(
    ("name", "change", "problem"),
    [
        ("scale", {"code": "older", "date": "2025-01-01 00:00:00"}, "scale are of other code than those of 2026"),
        ("gpu", {"code": "older", "date": "2025-01-01 00:00:00"}, "gpu are of other code"),
        ("scale", {"machine": "4 cores", "date": "2025-01-01 00:00:00"}, "scale are of another machine"),
        ("scale", {"versions": "xgboost 2", "date": "2025-01-01 00:00:00"}, "scale are of other package versions"),
        ("scale", {"other_processors_before": 1.5}, "other programs used 1.5 processors just before or after scale"),
        ("scale", {"other_processors_after": 0.5}, "other programs used 0.5 processors just before or after scale"),
        ("scale", {"numbers": {}}, "the results of scale have no prepare_20000_seconds"),
        ("scale", None, "there are no results of scale"),
    ],
)
def test_results_that_do_not_belong_together_are_refused(
    results: dict[str, Any], name: str, change: dict[str, Any] | None, problem: str
) -> None:
    if change is None:
        del results[name]
    else:
        results[name] |= change
    with pytest.raises(SystemExit) as error:
        render(results, NAMES, TEMPLATE, BASELINES)
    assert problem in str(error.value)
    assert f"run_all.py --only {name}" in str(error.value)

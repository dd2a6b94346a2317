"""Inputs that nearly determine the target are noted, with the line that drops them."""

import numpy as np
import pandas as pd
import pytest

from pipeline.params.load import check_params
from pipeline.params.schema import Params
from pipeline.scaffold.infer import InferredSettings, infer
from pipeline.scaffold.params_yaml import params_yaml
from pipeline.support.yaml import read_yaml

N = 600


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def infer_inputs(target: object, **columns: object) -> InferredSettings:
    size = np.random.default_rng(1).normal(50, 10, N).round(3)
    return infer(pd.DataFrame({"size": size, **columns, "y": target}), "y", "data.csv")


def found(inferred: InferredSettings) -> list[tuple[str, ...]]:
    return [leak.columns for leak in inferred.leaks]


def test_a_column_close_to_the_target_is_noted_and_kept(rng: np.random.Generator) -> None:
    y = rng.normal(size=N)
    inferred = infer_inputs(y, near=y**3 + rng.normal(0, 1e-4, N), half=y + rng.normal(0, 0.1, N))
    assert found(inferred) == [("near",)]
    assert inferred.notes[0].startswith("'near': nearly determines the target alone (R² 0.99")
    assert inferred.notes[0].endswith('unless it is known when you predict, add to dataset.drop: "near"')
    assert "near" not in inferred.drop


@pytest.mark.parametrize("n_classes", [2, 4])
def test_a_column_that_separates_the_classes_is_noted(n_classes: int, rng: np.random.Generator) -> None:
    label = rng.integers(0, n_classes, N)
    inferred = infer_inputs(
        [f"class {number}" for number in label],
        after=label + rng.uniform(0, 0.9, N),
        weak=label + rng.normal(0, 1, N),
        reason=[f"{'abcd'[number]}{rng.integers(0, 5)}" for number in label],
    )
    assert found(inferred) == [("after",), ("reason",)]
    assert "(AUC 1.0000)" in inferred.notes[0]


def test_missing_values_that_reveal_a_class_are_noted(rng: np.random.Generator) -> None:
    is_ill = rng.random(N) < 0.1
    inferred = infer_inputs(
        np.where(is_ill, "ill", "well"),
        days=pd.Series(rng.integers(1, 9, N)).where(is_ill),
        gaps=pd.Series(rng.normal(size=N)).where(rng.random(N) < 0.5),
    )
    assert found(inferred) == [("days",)]
    assert "'days': whether a value is missing determines a class (AUC 1.0000)" in inferred.notes[0]


@pytest.mark.parametrize("decimals", [None, 0, 2])
def test_sums_and_differences_are_noted(decimals: int | None, rng: np.random.Generator) -> None:
    paid, due, fee, other = rng.normal(500, 100, (4, N))
    if decimals is not None:
        paid, due, fee, other = (column.round(decimals) for column in (paid, due, fee, other))
    assert found(infer_inputs(paid + due, paid=paid, due=due, fee=fee)) == [("paid", "due")]
    inferred = infer_inputs(paid - due, fee=fee, paid=paid, due=due, other=other)
    assert found(inferred) == [("paid", "due")]
    assert "the first minus the second is the target in every row" in inferred.notes[0]


def test_rounded_sums_and_missing_values_are_allowed_for(rng: np.random.Generator) -> None:
    net, tax = rng.normal(500, 100, (2, N))
    inferred = infer_inputs(
        (net + tax).round(2), net=pd.Series(net.round(2)).where(rng.random(N) < 0.8), tax=tax.round(2)
    )
    assert found(inferred) == [("net", "tax")]


def test_ordinary_inputs_are_not_noted(rng: np.random.Generator) -> None:
    x = rng.normal(size=(6, N))
    inputs = {f"x{number}": column for number, column in enumerate(x)}
    assert not infer_inputs(x.sum(axis=0) + rng.normal(0, 0.1, N), **inputs).leaks
    assert not infer_inputs(np.where(x.sum(axis=0) > 0, "yes", "no"), **inputs).leaks
    small = {f"n{number}": rng.integers(0, 3, N) for number in range(20)}
    assert not infer_inputs(rng.integers(0, 30, N), **small).leaks


@pytest.mark.parametrize("drops", [False, True])
def test_params_have_commented_lines_that_drop_the_inputs(drops: bool, rng: np.random.Generator) -> None:
    paid, due = rng.normal(500, 100, (2, N))
    inferred = infer_inputs(paid + due, paid=paid, **{"due: date": due}, **({"same": 1} if drops else {}))
    text = params_yaml(inferred, "data.csv", "data")
    uncommented = (
        text.replace("    # - ", "    - ").replace("  drop: []", "  # none").replace("  # drop: [", "  drop: [")
    )
    params: Params = check_params(read_yaml(uncommented), "params.yaml")
    assert params.dataset.drop == [*(["same"] if drops else []), "paid", "due: date"]

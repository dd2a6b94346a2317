"""Any params.yaml is accepted, or refused by one message that names the key and what it must be; none runs code."""

import datetime
import time
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from pipeline.errors import FormulaError, ParamsError
from pipeline.features.formulas import parse
from pipeline.learn.families import family, names
from pipeline.params.load import check_params, load_params
from pipeline.params.schema import Params
from pipeline.support.yaml import read_yaml
from support.repositories import ROOT

JARGON = ("Input should", "validation error", "pydantic", "Value error", "Field required", "permitted", "constrained")
SECONDS = 60  # a refusal may take so long on a busy machine; unbounded work takes longer


def keys(section: type[BaseModel], parent: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the path of every key of a section and of the sections in it, so that new keys are tested too."""
    for name, field in section.model_fields.items():
        key = (*parent, field.alias or name)
        yield key
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from keys(kind, key)


KEYS = list(keys(Params))
SECTIONS = sorted({key[:-1] for key in KEYS if len(key) > 1})
EXPLANATIONS = (
    "must be",
    "names",
    "unknown key",
    "missing",
    "cannot",
    "needs",
    "does not use",
    "has no classes",
    "formula",
    "quotes",
    "one of",
)
VALUES: list[Any] = [
    None, True, 0, -1, 1, 2.5, 1e300, float("nan"), float("inf"), -float("inf"), 10**400, -(10**400), "", " ", "x",
    "1e-3", "5", "../../etc", "a\0b", "é" * 5000, b"bytes", datetime.date(2026, 1, 31), [], {}, [None], [[]], ["x",
    "x"],
    {"x": 1}, {"x": None}, {1: 2}, {None: 1}, {"low": 1, "high": 0}, ["x"] * 500,
]  # fmt: skip
COMPLETE: dict[str, Any] = {
    "dataset": {"path": "data.csv", "target": "y", "split": {}},
    "features": {"neighbors": {"k": 1, "by": ["a"]}},
    "evaluate": {"threshold": "cost", "costs": {"false_positive": 1, "false_negative": 5}},
    "train": {"search": {"space": {}}},
}


def with_value(key: tuple[str, ...], value: object) -> dict[str, Any]:
    """Return valid parameters with the value of one key replaced."""
    content = deepcopy(COMPLETE)
    section = content
    for part in key[:-1]:
        section = section.setdefault(part, {})
    section[key[-1]] = value
    return content


def refusal(content: object) -> str:
    """Return the message that refuses the content, or "" when it is accepted; anything else fails the test."""
    started = time.monotonic()
    try:
        assert isinstance(check_params(content, "params.yaml"), Params)
        message = ""
    except (ParamsError, FormulaError) as error:
        message = str(error)
        assert "params.yaml" in message
        assert "\n  -> " in message
        assert len(message) < 4000
        assert not [word for word in JARGON if word in message], message
    assert time.monotonic() - started < SECONDS
    return message


def test_keys_covers_every_section() -> None:
    assert {("dataset", "split", "column"), ("features", "neighbors", "k"), ("train", "search", "space")} <= set(KEYS)
    assert len(KEYS) > 40


@pytest.mark.parametrize("key", KEYS, ids=".".join)
def test_any_value_of_any_key_is_accepted_or_refused_with_what_it_must_be(key: tuple[str, ...]) -> None:
    messages = [refusal(with_value(key, value)) for value in VALUES]
    refused = [message for message in messages if message]
    assert len(refused) > 5, "the key accepts nearly any value"
    for message in refused:
        assert key[-1] in message
        assert any(word in message for word in EXPLANATIONS), message


@pytest.mark.parametrize("key", SECTIONS, ids=".".join)
def test_an_unknown_key_is_refused_with_the_known_ones(key: tuple[str, ...]) -> None:
    message = refusal(with_value((*key, "no_such_key"), 1))
    assert f"{'.'.join(key)}.no_such_key: unknown key; known keys are " in message


junk = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.sampled_from(VALUES)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=3),
    max_leaves=6,
)


@given(st.lists(st.tuples(st.sampled_from(KEYS), junk), min_size=1, max_size=4))
def test_any_combination_of_values_is_accepted_or_refused(changes: list[tuple[tuple[str, ...], Any]]) -> None:
    content = deepcopy(COMPLETE)
    for key, value in changes:
        section: Any = content
        for part in key[:-1]:
            section = section.setdefault(part, {}) if isinstance(section, dict) else None
        if isinstance(section, dict):
            section[key[-1]] = value
    refusal(content)


numbers = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 40),
    st.floats(),
    st.sampled_from([10**30, "balanced", "sqrt", "1e-3", "x"]),
)
spaces = st.one_of(numbers, st.lists(numbers, max_size=3), st.fixed_dictionaries({"low": numbers, "high": numbers}),
                   st.fixed_dictionaries({"low": numbers, "high": numbers, "log": st.booleans()}))  # fmt: skip


@given(st.data())
def test_a_space_is_refused_or_can_be_searched(data: st.DataObject) -> None:
    from pipeline.learn.search_space import count_combinations, create_study, distributions

    name = data.draw(st.sampled_from(names()))
    parameters = [*family(name).parameters, "eta"]
    space = data.draw(st.dictionaries(st.sampled_from(parameters), spaces, min_size=1, max_size=2))
    fixed = data.draw(st.dictionaries(st.sampled_from(parameters), numbers | st.lists(numbers, max_size=2), max_size=1))
    content = {**COMPLETE, "train": {"models": [name], "params": {name: fixed}, "search": {"space": {name: space}}}}
    message = refusal(content)
    if message:
        assert any(key in message for key in {*space, *fixed})
        return
    search = check_params(content, "params.yaml").train.search
    study = create_study(search.sampler, search.space[name], seed=1)
    drawn = study.ask(distributions(search.space[name])).params
    assert set(drawn) == set(space)
    assert count_combinations(search.space[name]) >= 1
    assert all(family(name).parameters[key].violation(value) is None for key, value in drawn.items())


@pytest.mark.parametrize(
    ("section", "content", "message"),
    [
        ("train", {"search": {"time_budget": "1e-3"}}, "time_budget: must be a number or null .it is '1e-3'"),
        ("train", {"params": {"xgboost": {"learning_rate": "5e2"}}},
         "xgboost.learning_rate` is '5e2'; it must be 1e-06 or more, at most 1$"),
        ("train", {"params": {"xgboost": {"gamma": "5"}}}, "gamma` is '5'; it must be 0 or more, at most 1e.09$"),
        ("train", {"cv_folds": None}, "train.cv_folds: must be a whole number .it is null"),
        ("train", {"n_jobs": 10**9}, "train.n_jobs: must be at most 256 or null .it is 1000000000"),
        ("train", {"seed": 2**31}, "train.seed: must be a number below 2147483648 .it is 2147483648"),
        ("train", {"params": {"nn": {"hidden_layer_sizes": [10**9]}}},
         "hidden_layer_sizes` is .*at most 20 of at most 10,000"),
        ("train", {"params": {"nn": {"hidden_layer_sizes": [10_000, 10_000]}}},
         "at most 10,000,000 weights between them"),
        ("train", {"params": {"random_forest": {"n_estimators": 10**6}}}, "n_estimators` is 1000000; .*at most 10000"),
        ("train", {"search": {"space": {"xgboost": {"gamma": 5}}}},
         "xgboost.gamma: must be a section with the keys low"),
        ("train", {"search": {"space": {"xgboost": {"gamma": [None]}}}},
         "`space.xgboost.gamma` holds None; it must be 0 or"),
        ("train", {"search": {"space": {"nn": {"alpha": {"low": "3e-2", "high": 1}}}}},
         "alpha.low: must be a number .it is '3e-2'.$"),
        ("train", {"search": {"max_rounds": 10**7}}, "max_rounds: must be at most 100000 .it is 10000000"),
        ("features", [], "features: must be a section with the keys neighbors, flux, dates, .*, text .it is ...$"),
        ("features", {"neighbors": {"k": 5000, "by": ["a"]}}, "neighbors.k: must be at most 1000 .it is 5000"),
        ("features", {"dates": {"when": "%d.%m"}}, "`dates.when` is '%d.%m'; it must be iso, excel, unix, unix_ms or"),
        ("features", {"dates": {"when": "%Q %Y"}}, "`dates.when` is '%Q %Y'; it must be iso"),
        ("features", {"dates": {"when": "%d.%d.%Y"}}, "or a format with a year, .*, in which no directive is repeated"),
        ("features", {"dates": {"when": "%Y %z %Z"}}, "`dates.when` is '%Y %z %Z'; it must be iso"),
        ("features", {"ordered": {"size": ["S", "S"]}}, "`ordered.size` must list two or more categories, each once$"),
        ("features", {"ordered": {"size": [1, 2]}}, "ordered.size.0: must be text .it is 1; put text in quotes"),
        ("features", {"lists": {"genres": ""}}, "`lists.genres` is empty; it must be the separator"),
        ("features", {"dates": {"a": "iso"}, "text": ["a"]},
         "a can only be in one of `dates`, `target_encoding`, `lists` and `text`"),
        ("features", {"text": ["y"]}, "params.yaml: features.text names 'y', which is the target: remove one of them"),
        ("evaluate", {"thresholds": [0.5] * 101},
         "evaluate.thresholds: must be a list of at most 100 items .it is .0.5,"),
        ("evaluate", {"threshold": 1}, "threshold: must be a number below 1, f1 or cost or null .it is 1.$"),
        ("evaluate", {"threshold": "F1"}, "threshold: must be a number, f1 or cost or null .it is 'F1'.$"),
        ("evaluate", {"threshold": "cost"}, "evaluate: `threshold: cost` needs the costs of errors, such as `costs: "),
        ("evaluate", {"costs": {"false_positive": 1, "false_negative": 2}}, "`costs` needs `threshold: cost`"),
        ("evaluate", {"threshold": "cost", "costs": {"false_positive": 0, "false_negative": 2}},
         "costs.false_positive: must be a number above 0 .it is 0"),
        ("evaluate", {"choose_by": True}, "choose_by: must be text or null .it is true; put text in quotes"),
        ("register", {"stage": None}, "stage: must be None, Staging, Production or Archived .it is null"),
    ],
)  # fmt: skip
def test_a_message_states_what_a_key_must_be(section: str, content: object, message: str) -> None:
    with pytest.raises(ParamsError, match=f"(?m){message}"):
        check_params({**COMPLETE, section: content}, "params.yaml")


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        ({"drop": ["when"]}, "which `dataset.drop` also names: remove one of them"),
        ({"split": {"strategy": "time", "column": "when"}}, "which the rows are split by, so that it is not a feature"),
    ],
)
@pytest.mark.parametrize(
    "features",
    [{"dates": {"when": "iso"}}, {"ordered": {"when": ["a", "b"]}}, {"lists": {"when": "|"}}, {"text": ["when"]}],
    ids=lambda features: next(iter(features)),
)
def test_features_are_of_input_columns(features: dict[str, object], dataset: dict[str, object], message: str) -> None:
    content = {"dataset": {**COMPLETE["dataset"], **dataset}, "features": features}
    with pytest.raises(ParamsError, match=rf"features.{next(iter(features))} names 'when', {message}"):
        check_params(content, "params.yaml")


def test_null_is_a_candidate_where_a_hyperparameter_accepts_it() -> None:
    space = {"random_forest": {"max_depth": [5, None], "max_features": ["sqrt", None, 0.5]}}
    found = check_params({**COMPLETE, "train": {"search": {"space": space}}}, "params.yaml").train.search.space
    assert found == space


@pytest.mark.parametrize("section", ["experiment_name", "model_name"])
@pytest.mark.parametrize(
    "name", ["..", ".", "../x", "/x", "a/b", "a\\b", "a\0b", "a.", "a..", ".a", "-a", "a b", "a\n", "é", "a" * 101, ""]
)
def test_a_name_cannot_be_a_path(section: str, name: str) -> None:
    content = {"train": {section: name}} if section == "experiment_name" else {"register": {section: name}}
    with pytest.raises(ParamsError, match=rf"{section}: must be 1 to 100 of the characters"):
        check_params({**COMPLETE, **content}, "params.yaml")


@pytest.mark.parametrize("name", ["a", "a.b", "A-1_b", "1.2.3", "a..b", "a" * 100])
def test_a_plain_name_is_accepted(name: str) -> None:
    assert check_params({**COMPLETE, "register": {"model_name": name}}, "params.yaml").registry.model_name == name


@pytest.mark.parametrize(
    "function", ["a.b", "a:b:c", "../a:b", "a/b:c", "a..b:c", ".a:b", "a.:b", "a:b\n", "a:b()", ":b", "a:", "/etc/a:b"]
)
def test_a_custom_metric_must_be_module_and_function(function: str) -> None:
    with pytest.raises(ParamsError, match=r"evaluate.custom: must be module:function, such as costs:profit"):
        check_params({**COMPLETE, "evaluate": {"custom": function}}, "params.yaml")


BILLION_LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{after}: &{after} [{', '.join([f'*{before}'] * 9)}]\n"
    for before, after in zip("abcdefgh", "bcdefghi", strict=True)
)


MERGES = "a: &a {x: 1}\n" + "".join(
    f"{after}: &{after} {{<<: [*{before}, *{before}]}}\n"
    for before, after in zip("abcdefghijklmnopqrstuvwx", "bcdefghijklmnopqrstuvwxy", strict=True)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dataset: !!python/object/apply:os.system ['touch MARKER']\n", "not valid YAML: could not determine"),
        ("dataset: !!python/object/new:subprocess.Popen [[touch, MARKER]]\n", "not valid YAML"),
        ("dataset: !!python/name:os.system\n", "not valid YAML"),
        ("? !!python/object/apply:os.system ['touch MARKER']\n: 1\n", "not valid YAML"),
        (BILLION_LAUGHS, "expanding the aliases"),
        ("dataset: &a [*a]\n", "expanding the aliases"),
        ("dataset: &a {a: *a}\n", "expanding the aliases"),
        ("dataset: " + "[" * 50_000, "not valid YAML: it is nested too deeply"),
        ("dataset: " + "{a: " * 5_000, "not valid YAML: it is nested too deeply"),
        ("dataset: {path: " + "x" * 100_000_000 + "}\n", "has 100,000,018 bytes, more than 1,000,000"),
        ("dataset: {path: a, target: " + "x" * 900_000 + ", split: 5}\n", "dataset.split: must be a section"),
        ("a: 1" + "0" * 5000 + "\n", "not valid YAML"),
        ("seed: 0x" + "f" * 20_000 + "\n", "seed: unknown key"),
        ("dataset: {path: a, target: b}\ntrain: {seed: 0x" + "f" * 20_000 + "}\n",
         "train.seed: .*it is a whole number of"),
        ("a: !!bool maybe\n", "not valid YAML"),
        ("a: !!int ''\n", "not valid YAML"),
        ("a: !!float x\n", "not valid YAML"),
        ("a: !!timestamp x\n", "not valid YAML"),
        ("a: !!binary x\n", "not valid YAML"),
        ("? [a]\n: 1\n", "has the name .'a',., which is not text"),
        ("<<: {a: 1}\n", "a: unknown key"),
        (MERGES, "expanding the aliases"),
        ("? {a: 1}\n: 1\n", "not valid YAML.*unhashable key"),
        ("".join(f"k{number}: 1\n" for number in range(20_000)), "unknown key; known keys are dataset"),
        ("a: 1\n---\nb: 1\n", "not valid YAML"),
        ("- a\n", "has no sections"),
        ("", "has no sections"),
        ("a:\n\tb: 1\n", "not valid YAML"),
        ("train: {cv_folds: yes}\ndataset: {path: a, target: b}",
         "train.cv_folds: must be a whole number .it is 'yes'"),
        ("train: {cv_folds: true}\ndataset: {path: a, target: b}",
         "train.cv_folds: must be a whole number .it is true"),
        ("dataset: {path: a, target: 2026-01-31}",
         "dataset.target: must be text .*it is 2026-01-31; put text in quotes"),
    ],
    ids=range(31),
)  # fmt: skip
def test_hostile_yaml_is_refused_quickly_and_runs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text(text)
    started = time.monotonic()
    with pytest.raises(ParamsError, match=message) as raised:
        load_params()
    assert time.monotonic() - started < 6 * SECONDS
    assert len(str(raised.value)) < 4000
    assert [path.name for path in tmp_path.iterdir()] == ["params.yaml"]


@given(
    st.text(st.sampled_from("ab:-{}[]&*!|>'\"%@`, \n\t#?0123.eE~<=\\\0\ufeff\u2028é"), max_size=60)
    | st.binary(max_size=60)
)
def test_any_file_without_a_dataset_is_refused(tmp_path_factory: pytest.TempPathFactory, text: str | bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ParamsError):
        load_params(path)


def test_a_byte_order_mark_is_ignored(tmp_path: Path) -> None:
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8-sig")
    assert load_params(tmp_path / "params.yaml") == check_params(read_yaml(text), "params.yaml")


@pytest.mark.parametrize(
    "formula",
    [
        "__import__('os').system('touch MARKER')", "open('MARKER', 'w')", "a.b", "a.__class__", "a[0]", "a[b]",
        "f'{a}'",
        "lambda: a", "(a := 1)", "[a]", "{a}", "(a, b)", "a if b else a", "a and b", "not a", "a < b", "a // b",
        "a % b",
        "a @ b", "a << b", "~a", "sqrt(a, b)", "sqrt(x=a)", "sqrt(*a)", "exp(a)", "a(b)", "sqrt(a)(b)", "'a'",
        "b'a'", "1j",
        "True", "None", "...", "await a", "a; b", "a = b", "import os", "1", "9**9**9", "", "a b", "a +", "a\nb",
        "`a", "\0",
        "__column0", "`a` + __column0", "1e999 * a", f"a * {'9' * 400}", "eval(a)", "((a)", "a + 'x' * 99999999",
    ],
)  # fmt: skip
def test_a_formula_that_is_not_arithmetic_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, formula: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FormulaError, match=r"dataset\.derived\.z in params\.yaml"):
        parse("z", formula)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    "formula",
    ["a" * 1_000_000, "(" * 499 + "a" + ")" * 499, "-" * 999 + "a",
    "sqrt(" * 150 + "a" + ")" * 150, "+".join("a" * 500),
     "**".join(["9"] * 400), "a" + "*9" * 400, "1e5" * 300, "`" * 999, "`a`" * 300],
    ids=range(10),
)  # fmt: skip
def test_an_excessive_formula_is_refused_quickly(formula: str) -> None:
    started = time.monotonic()
    with pytest.raises(FormulaError) as raised:
        parse("z", formula)
    assert time.monotonic() - started < SECONDS
    assert len(str(raised.value)) < 3000


words = st.sampled_from(
    [*"ab+-*/()", "**", "sqrt", "log1p", "1", "9e99", ".5", "`a`", "`b c`", " ", "0", "#", ",", "_", "\n"]
)


@given(st.lists(words, max_size=12).map("".join) | st.text(max_size=20))
def test_any_formula_is_evaluated_or_refused(formula: str) -> None:
    import numpy as np

    from pipeline.features.formulas import columns_of, compute

    try:
        tree = parse("z", formula)
    except FormulaError:
        return
    columns = dict.fromkeys(columns_of(tree), np.array([0.0, -1.0, np.nan, 1e300]))
    found = compute(tree, columns)
    assert found.shape == (4,)
    assert not np.isinf(found).any()

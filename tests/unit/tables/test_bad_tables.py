"""Any table gives a model that predicts the same after saving, or one error message."""

import decimal
import gzip
import io
import json
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from pipeline.errors import PipelineError
from pipeline.features.columns import infer_kind
from pipeline.features.raw_rows_model import RawRowsModel
from pipeline.learn.families import family, ranked_names
from pipeline.params.schema import Params
from pipeline.prepare.stage import prepare
from pipeline.train.evaluation import Evaluation
from pipeline.train.fit import Fitter, choose, fit
from pipeline.train.raw_rows_view import write_view
from pipeline.train.tables import load_tables
from support.hostile import TINY, file_contents
from support.hostile_tables import CSV_KINDS, KINDS, tables

BOUNDED = settings(max_examples=settings.default.max_examples // 2)  # each example fits a model
TASKS = ["regression", "classification"]


@st.composite
def settings_of(draw: st.DrawFn, table: pd.DataFrame) -> Params:
    """Draw parameters that name the table's columns."""
    inputs = [str(name) for name in table.columns if name != "y"]
    some = st.lists(st.sampled_from(inputs), max_size=2, unique=True)
    strategy = draw(st.sampled_from(["random"] * 5 + ["stratified", "stratified", "group", "time"]))
    split: dict[str, Any] = {"strategy": strategy, "test_size": draw(st.sampled_from([0.2, 0.5]))}
    if strategy in ("group", "time"):
        split["column"] = draw(st.sampled_from(inputs))
    dataset: dict[str, Any] = {
        "path": "data",
        "target": "y",
        "task": draw(
            st.sampled_from(["regression" if infer_kind(table["y"]) == "number" else "classification"] * 4 + TASKS)
        ),
        "categorical": draw(some),
        "split": split,
        "drop_duplicates": draw(st.booleans()),
    }
    if draw(st.integers(0, 3)) == 0 and "`" not in inputs[0] and "__column" not in inputs[0]:
        dataset["derived"] = {
            "made <1>": draw(st.sampled_from(["`{0}` / 2", "log1p(`{0}`) ** 2", "1 / `{0}`"])).format(inputs[0])
        }
    features = {}
    if draw(st.integers(0, 3)) == 0:
        features = {"neighbors": {"k": draw(st.sampled_from([1, 3, 1000])), "by": inputs[:1], "means": inputs[-1:]}}
    return Params.model_validate({"dataset": dataset, "features": features, "train": TINY})


def outcome(folder: Path, params: Params, model: str) -> str:
    """Prepare, train, save and predict; check each result, and return the error message or "a model"."""
    before = file_contents(folder)
    try:
        prepare(params.dataset, folder)
    except PipelineError as error:
        assert file_contents(folder) == before, "files were left behind"
        return _message(error)
    made = file_contents(folder)
    assert set(made) - set(before) <= {
        "data/processed/train.parquet", "data/processed/test.parquet", "models/standard_scaler.pkl",
        "mlartifacts/prepare/data_profile.json",
    }  # fmt: skip
    json.loads(made["mlartifacts/prepare/data_profile.json"], parse_constant=pytest.fail)  # NaN is no JSON
    try:
        loaded = load_tables(folder, params)
        evaluation = Evaluation.from_params(params.evaluate, loaded.data, loaded.rows, folder)
        fitter = Fitter.from_params(model, params.train, loaded.data)
    except PipelineError as error:
        assert file_contents(folder) == made, "files were left behind"
        return _message(error)
    fitted = fit(fitter, choose(fitter.learner, None), evaluation, lambda _: warnings.catch_warnings())
    assert all(np.isfinite(value) for value in fitted.metrics.values()), fitted.metrics
    assert np.isfinite(fitted.outputs).all()
    saved = folder / "saved"
    saved.mkdir()
    file = fitter.family.file
    file.save(fitted.model, saved / file.name)
    write_view(loaded.view, saved / file.name, saved)
    test = pd.read_parquet(folder / "data/processed/test.parquet")
    predictions = RawRowsModel(saved).predict(test.drop(columns="y"))
    if isinstance(predictions, pd.DataFrame):
        predictions = predictions.drop(columns="prediction").to_numpy(np.float64)
    np.testing.assert_array_equal(predictions, fitted.outputs)
    extreme = RawRowsModel(saved).predict(extreme_rows(test.drop(columns="y")))
    assert np.isfinite(np.asarray(pd.DataFrame(extreme).drop(columns="prediction", errors="ignore"), np.float64)).all()
    return "a model"


def extreme_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows far from all training rows, and one without values."""
    extremes = {"float64": [1e38, -1e38, 1e308, np.inf, np.nan], "str": ["unheard of", "", None, "1.0", "\0"]}
    return pd.DataFrame(
        {name: extremes.get(str(column.dtype), [True, False] * 2 + [True]) for name, column in rows.items()}
    )


def _message(error: PipelineError) -> str:
    assert "\n  -> " in str(error)
    assert len(str(error)) < 6000, str(error)[:200]
    return str(error)


def run(content: bytes, suffix: str, params: Params, model: str) -> str:
    """Return the outcome of a file in a temporary folder."""
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / f"data{suffix}").write_bytes(content)
        dataset = params.dataset.model_copy(update={"path": f"data{suffix}"})
        return outcome(Path(name), params.model_copy(update={"dataset": dataset}), model)


@BOUNDED
@given(st.data())
def test_any_csv_table_gives_a_model_or_one_message(data: st.DataObject) -> None:
    table = data.draw(tables(CSV_KINDS))
    run(
        table.to_csv(index=False).encode(),
        ".csv",
        data.draw(settings_of(table)),
        data.draw(st.sampled_from(ranked_names())),
    )


@BOUNDED
@given(st.data())
def test_any_parquet_table_gives_a_model_or_one_message(data: st.DataObject) -> None:
    table = data.draw(tables(KINDS))
    try:
        content = parquet(table)
    except pa.ArrowException:  # Parquet does not support columns of both text and numbers
        reject()
    run(content, ".parquet", data.draw(settings_of(table)), data.draw(st.sampled_from(ranked_names())))


GOOD = b"a,b,y\n" + b"".join(b"%d,%s,%d\n" % (row, b"uv"[row % 2 : row % 2 + 1], row * row) for row in range(30))


@BOUNDED
@given(st.data())
def test_a_damaged_file_gives_a_model_or_one_message(data: st.DataObject) -> None:
    """Bytes are replaced, removed or inserted, in several encodings and under several suffixes."""
    content = data.draw(st.sampled_from([GOOD, GOOD.decode().encode("utf-16"), b"\xef\xbb\xbf" + GOOD, PARQUET]))
    pieces = st.sampled_from(
        [b'"', b",", b"\n", b"\r", b"\0", b"\xe9", b";", b"y", b",,", b"1e999", b"'", b"\xef\xbb\xbf", b""]
    )
    for _ in range(data.draw(st.integers(0, 3))):
        start = data.draw(st.integers(0, len(content)))
        end = start + data.draw(st.sampled_from([0, 0, 1, 2, 40]))
        content = content[:start] + data.draw(pieces | st.binary(max_size=3)) + content[end:]
    suffix = data.draw(st.sampled_from([".csv", ".csv", ".parquet", ".csv.gz", ".txt"]))
    content = (
        gzip.compress(content, mtime=0)[: data.draw(st.sampled_from([None, 30]))] if suffix == ".csv.gz" else content
    )
    run(content, suffix, params_with(task="regression"), "xgboost")


def params_with(features: object = None, **dataset: object) -> Params:
    content = {"dataset": {"path": "data.csv", "target": "y", **dataset}, "features": features, "train": TINY}
    return Params.model_validate(content)


def parquet(table: pd.DataFrame) -> bytes:
    content = io.BytesIO()
    table.to_parquet(content)
    return content.getvalue()


PARQUET = parquet(pd.DataFrame({"a": range(30), "b": ["u", "v"] * 15, "y": np.arange(30.0)}))
ROWS = 40
X = np.random.default_rng(0).normal(size=ROWS)
LABELS = ["a", "b"] * (ROWS // 2)


@pytest.mark.parametrize("model", ranked_names())
@pytest.mark.parametrize(
    ("columns", "changes"),
    [
        ({"x": X, "y": X * 3e17}, {}),
        ({"x": X, "y": X * 1e-300}, {}),
        ({"x": X, "y": np.ones(ROWS)}, {}),
        ({"x": X * 1e38, "y": X}, {}),
        ({"x": X * 1e-40, "y": X}, {}),
        ({"x": 1 + X * 1e-7, "y": X}, {}),
        ({"x": np.where(np.arange(ROWS) == 7, 3e38, 1 + X * 1e-6), "y": X}, {}),
        ({"x": np.where(np.arange(ROWS) == 7, 3e38, 1 + X * 1e-6), "z": X, "y": X}, {"near": ["x", "z"]}),
        ({"x": X * 1e-44, "y": X}, {"near": ["x"]}),
        ({"x": np.full(ROWS, 7.0), "y": X}, {"near": ["x"]}),
        ({"x": np.where(np.arange(ROWS) % 2, np.nan, 7.0), "y": LABELS}, {"near": ["x"]}),
        ({"x": X, "Y": X, "y ": X, " y": X, "y": X}, {}),
        ({"x": X, "\u00e9": X, "e\u0301": -X, "y": LABELS}, {}),
        ({"x": X, "y": ["../../x", "a[b]<c>\n%s{}"] * (ROWS // 2)}, {}),
        ({"x": X, "y": ["a", "a" * 10_000] * (ROWS // 2)}, {}),
        ({"x": ["=cmd()", "__import__('os').system('touch MARKER')"] * (ROWS // 2), "y": X}, {}),
        ({"x": ["a" * 200_000, None] * (ROWS // 2), "y": X}, {}),
        ({"FLUX.1": X, "FLUX.2": X * 1e38, "FLUX.3": X * 0, "y": X}, {"flux": True}),
        ({f"FLUX.{place}": X * 1e-40 + (place == 9) * 3e38 for place in range(20)} | {"y": LABELS}, {"flux": True}),
    ],
    ids=range(19),
)  # fmt: skip
def test_an_extreme_table_gives_a_model(
    model: str, columns: dict[str, Any], changes: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    table = pd.DataFrame(columns)
    near = {"neighbors": {"k": 3, "by": changes["near"], "means": []}} if "near" in changes else None
    task = "regression" if table["y"].dtype == "float64" else "classification"
    params = params_with(
        {"neighbors": near and near["neighbors"], "flux": changes.get("flux", False)}, task=task, drop_duplicates=False
    )
    assert run(table.to_csv(index=False).encode(), ".csv", params, model) == "a model"
    assert not any(tmp_path.iterdir()), "a cell was executed"


@pytest.mark.parametrize(
    ("columns", "changes", "message"),
    [
        ({"x": X, "y": [decimal.Decimal("1.5"), "x"] * (ROWS // 2)}, {}, "column 'y', row 2, holds 'x'; the target"),
        ({"x": X, "y": pd.Series(LABELS, dtype="category")}, {}, "column 'y', row 1, holds 'a'; the target"),
        ({"x": X, "y": pd.date_range("2026", periods=ROWS)}, {}, "column 'y', row 1, holds .*; the target of a regr"),
        ({"x": pd.to_datetime([None] * ROWS), "y": X}, {}, "column 'x' has no values"),
        ({"x": [None] * 39 + ["a"], "t": range(ROWS), "y": X}, {"split": {"strategy": "time", "column": "t"}},
         "no column has a value in any of the 32 training rows"),
        ({"x": X, "y": [["a"]] * ROWS}, {"task": "classification"}, "column 'y' holds (list|ndarray) values"),
        ({"x": X, "y": [b"a", b"b"] * (ROWS // 2)}, {"task": "classification"}, "column 'y' holds bytes values"),
        ({"x": X, "y": [{"a": 1}] * ROWS}, {"task": "classification"}, "column 'y' holds dict values"),
        ({"x": X, "y": [True] * ROWS}, {"task": "classification"}, "'y' has only one class in the training rows"),
        ({"a\0b": X, "y": X}, {}, "column whose name contains a NUL character"),
        ({"a" * 501: X, "y": X}, {}, "column whose name has 501 characters, more than 500"),
        ({"x": ["a" * 100_000 + str(row) for row in range(ROWS)], "y": X}, {"max_categories": 9},
         "categorical with 40 different"),
        ({"x": X, "t": [np.inf, *X[1:]], "y": X}, {"split": {"strategy": "time", "column": "t"}},
         "no valid time in row 1: 'inf'"),
    ],
    ids=range(13),
)  # fmt: skip
def test_an_invalid_table_gives_one_message(columns: dict[str, Any], changes: dict[str, Any], message: str) -> None:
    import re

    try:
        content, suffix = parquet(pd.DataFrame(columns)), ".parquet"
    except pa.ArrowException:
        content, suffix = pd.DataFrame(columns).to_csv(index=False).encode(), ".csv"
    assert re.search(message, run(content, suffix, params_with(**changes), "xgboost"))


def test_prepared_files_stay_when_a_later_prepare_fails(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_bytes(GOOD)
    prepare(params_with().dataset, tmp_path)
    (tmp_path / "data.csv").write_bytes(GOOD + b"1,v,x\n")
    before = file_contents(tmp_path)
    with pytest.raises(PipelineError, match="row 31, holds 'x'"):
        prepare(params_with().dataset, tmp_path)
    assert file_contents(tmp_path) == before
    (tmp_path / "data.csv").write_bytes(GOOD.replace(b"900", b"901"))
    (tmp_path / "models" / "standard_scaler.pkl").unlink()
    (tmp_path / "models").rmdir()
    (tmp_path / "models").write_bytes(b"")  # where the scaler's folder would be
    before = file_contents(tmp_path)
    with pytest.raises(OSError, match="models"):
        prepare(params_with().dataset, tmp_path)
    assert file_contents(tmp_path) == before


def test_a_neural_network_and_its_onnx_graph_agree_far_from_the_training_rows() -> None:
    from sklearn.preprocessing import StandardScaler

    from pipeline.features.transformer import FeatureTransformer
    from pipeline.learn.learner import Problem
    from pipeline.learn.search_params import SearchParams
    from pipeline.learn.task import Task
    from pipeline.onnx.check import check
    from pipeline.onnx.model import to_onnx

    table = pd.DataFrame({"tiny": 1 + X * 1e-6, "plain": X, "constant": 5.0, "missing": np.where(X > 1, np.nan, X)})
    transformer = FeatureTransformer.fit(table, {})
    features = transformer.transform(table)
    stated = {"hidden_layer_sizes": [4], "max_iter": 3}
    problem = Problem(Task(), stated, {}, SearchParams(), 1, 1, StandardScaler().fit(features), [])
    learner = family("nn").learner(problem)
    model = learner.estimator({}, 3, X)
    learner.fit(model, features, X)
    far = pd.DataFrame({name: [3e38, -3e38, 1e300, np.nan, 0, 1e10] for name in table})
    predictions = model.predict(transformer.transform(far))
    assert np.isfinite(predictions).all()
    assert len(set(predictions)) > 2
    rows = pd.concat([table, far], ignore_index=True)
    graph = to_onnx(transformer, transformer.feature_names, model, None)
    found = check(
        graph, transformer, rows, lambda rows: {"prediction": model.predict(transformer.transform(rows))[:, None]}
    )
    assert found.n_rows == len(rows)
    clip, *rest = (step for _, step in model.regressor_.steps)
    np.testing.assert_array_equal(clip.transform(features), features)  # training rows are not clipped
    assert type(rest[0].estimator) is StandardScaler

"""Hostile tables pass through every script to a registered model, or end in one message."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from support.figures import with_small_figures
from support.hostile import HOSTILE, TEXTS, TINY, file_contents
from support.repositories import change_params


def hostile_table(labels: list[str]) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    table = pd.DataFrame({name: rng.normal(size=90) for name in HOSTILE if name not in ("y", "'")})
    table["text"] = rng.choice(TEXTS[:20], 90)
    return table.assign(y=[labels[index] for index in rng.integers(0, len(labels), 90)])


def test_hostile_names_reach_production(
    pipeline_folder: Path, call: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    hostile_table(["../../x", "<b>%s{}</b>\n", "a" * 400]).to_csv("data.csv", index=False)
    models = {**TINY, "experiment_name": "small", "models": ["xgboost"], "explain_rows": 10}
    dataset = {"path": "data.csv", "target": "y", "task": "classification"}
    change_params(pipeline_folder, dataset=dataset, features={}, train=models)
    before = file_contents(pipeline_folder.parent) if pipeline_folder.parent != pipeline_folder else {}
    with with_small_figures():
        assert [call("prepare"), call("model_train"), call("model_register", "--stage", "Production")] == [0, 0, 0]
    after = file_contents(pipeline_folder.parent)
    new = {path for path in set(after) - set(before) if not path.startswith("repository/")}
    assert not new, "a script wrote outside the pipeline folder"
    model = pipeline_folder / "models/production/latest/model"
    import mlflow

    rows = pd.read_parquet("data/processed/test.parquet").drop(columns="y")
    predictions = mlflow.pyfunc.load_model(str(model)).predict(rows)
    assert set(predictions["prediction"]) <= {"../../x", "<b>%s{}</b>\n", "a" * 400}
    assert "Traceback" not in capsys.readouterr().err


def test_rejected_table_exits_2_and_records_no_run(
    pipeline_folder: Path, call: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    from pipeline.store.open import open_store

    Path("data.csv").write_bytes(b"a,y\n" + b"1,2\n" * 10)
    train = {**TINY, "experiment_name": "small", "cv_folds": 5}
    change_params(
        pipeline_folder, dataset={"path": "data.csv", "target": "y", "drop_duplicates": False}, features={}, train=train
    )
    before = file_contents(pipeline_folder)
    change_params(pipeline_folder, train={**train, "cv_folds": 50})
    assert call("prepare") == 0
    assert call("model_train") == 2
    assert "8 training rows are too few for 50 folds" in capsys.readouterr().err
    Path("data.csv").write_bytes(b"a,y\n1,\xff\n")
    prepared = file_contents(pipeline_folder)
    assert call("prepare") == 2
    error = capsys.readouterr().err
    assert error.startswith("error: data.csv is not UTF-8 text: byte 0xff in line 2\n  -> ")
    assert file_contents(pipeline_folder) == prepared
    assert set(before) < set(prepared)
    assert not open_store().search_experiments(filter_string="name = 'small'")

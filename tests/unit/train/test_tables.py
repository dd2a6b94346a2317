"""Training loads the outputs of stage prepare."""

from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest

from pipeline.errors import PipelineError
from pipeline.params.load import load_params
from pipeline.prepare.stage import prepare
from pipeline.support.paths import SCALER
from pipeline.train.tables import load_tables
from support.repositories import change_params


def test_the_scaler_is_restored_without_unpickling(pipeline_folder: Path) -> None:
    params = load_params()
    prepare(params.dataset, pipeline_folder)
    pickled = joblib.load(SCALER)
    SCALER.unlink()
    scaler = load_tables(pipeline_folder, params).data.scaler
    positions = [list(scaler.feature_names_in_).index(name) for name in pickled.feature_names_in_]
    np.testing.assert_allclose(scaler.mean_[positions], pickled.mean_, rtol=1e-11)
    np.testing.assert_allclose(scaler.var_[positions], pickled.var_, rtol=1e-11)


def test_dates_that_do_not_vary_are_no_input(pipeline_folder: Path, table: pd.DataFrame) -> None:
    table.assign(when="2026-01-31")[["when", "price"]].to_csv("data.csv", index=False)
    dataset = {"path": "data.csv", "target": "price"}
    change_params(pipeline_folder, dataset=dataset, features={"dates": {"when": "iso"}})
    params = load_params()
    prepare(params.dataset, pipeline_folder, features=params.features)
    with pytest.raises(PipelineError, match=r"no input column has a feature, .* dates varies \(when\)"):
        load_tables(pipeline_folder, params)

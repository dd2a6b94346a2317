"""Training loads the outputs of stage prepare."""

from pathlib import Path

import joblib
import numpy as np

from pipeline.params.load import load_params
from pipeline.prepare.stage import prepare
from pipeline.support.paths import SCALER
from pipeline.train.tables import load_tables


def test_the_scaler_is_restored_without_unpickling(pipeline_folder: Path) -> None:
    params = load_params()
    prepare(params.dataset, pipeline_folder)
    pickled = joblib.load(SCALER)
    SCALER.unlink()
    scaler = load_tables(pipeline_folder, params).data.scaler
    positions = [list(scaler.feature_names_in_).index(name) for name in pickled.feature_names_in_]
    np.testing.assert_allclose(scaler.mean_[positions], pickled.mean_, rtol=1e-11)
    np.testing.assert_allclose(scaler.var_[positions], pickled.var_, rtol=1e-11)

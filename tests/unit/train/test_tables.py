"""What training reads of stage prepare."""

from pathlib import Path

import joblib
import numpy as np

from pipeline.params.load import load_params
from pipeline.prepare.stage import prepare
from pipeline.support.paths import SCALER
from pipeline.train.tables import load_tables


def test_the_scaler_of_stage_prepare_is_known_without_unpickling_it(pipeline_folder: Path) -> None:
    params = load_params()
    prepare(params.dataset, pipeline_folder)
    pickled = joblib.load(SCALER)
    SCALER.unlink()
    scaler = load_tables(pipeline_folder, params).data.scaler
    places = [list(scaler.feature_names_in_).index(name) for name in pickled.feature_names_in_]
    np.testing.assert_allclose(scaler.mean_[places], pickled.mean_, rtol=1e-11)
    np.testing.assert_allclose(scaler.var_[places], pickled.var_, rtol=1e-11)

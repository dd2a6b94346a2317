from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from pipeline.datasets.simulated_light_curves import NO_PLANET, PLANET, PLANETS, SimulatedLightCurves, simulate
from pipeline.features.light_curves import CHUNK, FLUX_FEATURES, flux_columns, flux_features

pytestmark = pytest.mark.xdist_group("light_curves")  # one worker, so that the simulation runs once


@pytest.fixture(scope="module")
def simulated() -> SimulatedLightCurves:
    return simulate(n_stars=500, n_points=600, seed=5)


@pytest.fixture(scope="module")
def features(simulated: SimulatedLightCurves) -> pd.DataFrame:
    return pd.DataFrame(flux_features(curves(simulated)), columns=list(FLUX_FEATURES))


def curves(simulated: SimulatedLightCurves) -> NDArray[np.float64]:
    return simulated.table[flux_columns(simulated.table.columns)].to_numpy(copy=True)


def test_flux_columns_are_matched_by_name_and_sorted_by_number() -> None:
    names = ["FLUX.10", "LABEL", "flux_2", "Flux1", "FLUX.x", "flux", "INFLUX.3", "FLUX.4.1", "FLUX-5"]
    assert flux_columns(names) == ["Flux1", "flux_2", "FLUX.10"]


def test_features_are_named_finite_and_vary(simulated: SimulatedLightCurves, features: pd.DataFrame) -> None:
    assert 20 <= len(set(FLUX_FEATURES)) == len(FLUX_FEATURES) <= 40
    assert all(name.startswith("flux_") for name in FLUX_FEATURES)
    assert features.shape == (500, len(FLUX_FEATURES))
    assert set(features.dtypes) == {np.dtype(np.float32)}
    assert np.isfinite(features).all(axis=None)
    assert (features.nunique() > 3).all()
    missing = np.isnan(curves(simulated)).mean(axis=1)
    np.testing.assert_allclose(features["flux_missing"], missing, rtol=1e-5)


@pytest.mark.parametrize("n_points", [90, 600, 3197])
def test_features_are_bit_identical_in_any_batch(n_points: int) -> None:
    flux = curves(simulate(CHUNK + 3, n_points, seed=1))
    flux[4, :-20] = np.nan
    features = flux_features(flux)
    assert flux_features(np.asfortranarray(flux)).tobytes() == features.tobytes()
    for rows in (slice(0, 1), slice(4, 5), slice(3, 10), slice(CHUNK, CHUNK + 3), slice(None, None, -1)):
        assert flux_features(flux[rows]).tobytes() == features[rows].tobytes()


def test_features_are_independent_of_unit_and_offset(simulated: SimulatedLightCurves, features: pd.DataFrame) -> None:
    flux = curves(simulated)[:20]
    scaled = pd.DataFrame(flux_features(flux * 512 + 100_000), columns=list(FLUX_FEATURES))
    np.testing.assert_allclose(scaled.pop("flux_log_scatter"), features["flux_log_scatter"][:20] + np.log10(512), 1e-5)
    np.testing.assert_allclose(scaled, features[:20].drop(columns="flux_log_scatter"), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("n_points", [1, 2, 3, 10, 16, 17, 33, 34, 50, 300])
def test_features_of_unusual_curves_are_finite(n_points: int) -> None:
    rng = np.random.default_rng(0)
    noise = rng.standard_normal(n_points)
    step, spike, few, mostly_equal = np.repeat(noise[None], 4, axis=0)
    step[n_points // 2 :] = 1e9
    spike[-1] = -1e12
    few[rng.random(n_points) < 0.8] = np.nan
    mostly_equal[n_points // 3 :] = 7
    infinite = np.where(noise > 1, np.inf, noise)
    flux = np.array(
        [
            noise,
            np.full(n_points, np.nan),
            np.full(n_points, 4.2),
            np.zeros(n_points),
            np.arange(n_points),
            1e308 * np.sign(noise),
            1e308 * np.where(noise > 0, np.nan, noise / 10),
            5e-324 * np.sign(noise),
            1e15 + noise,
            step,
            spike,
            few,
            mostly_equal,
            infinite,
        ]
    )
    features = flux_features(flux)
    assert np.isfinite(features).all()
    assert features[1].tolist() == [1.0] + [0.0] * (len(FLUX_FEATURES) - 1)
    assert not features[2].any()
    assert flux_features(flux[:0]).shape == (0, len(FLUX_FEATURES))


def test_clear_simulated_transits_are_detected(simulated: SimulatedLightCurves, features: pd.DataFrame) -> None:
    planets = simulated.stars[simulated.stars["kind"] == "planet"]
    found = features.loc[planets.index]
    signal = planets["depth"] / planets["noise"] * np.sqrt(600 * planets["duration"] / planets["period"])
    clear = signal > 15
    assert clear.sum() >= 20
    is_correct = np.abs(found["flux_box_period"] / planets["period"] - 1) < 0.01
    assert is_correct[clear].mean() > 0.85
    assert is_correct[signal < 10].mean() < is_correct[clear].mean()
    found, planets = found[clear & is_correct], planets[clear & is_correct]
    ratio = found["flux_box_depth"] / (planets["depth"] / planets["noise"])
    assert 0.75 < ratio.median() < 1.1
    np.testing.assert_allclose((found["flux_box_duration"] / planets["duration"]).median(), 1, atol=0.15)
    transits = np.round(600 / planets["period"])
    assert (np.abs(found["flux_box_transits"] - transits) <= 1).all()


@pytest.mark.parametrize(("period", "duration", "epoch"), [(41.3, 3, 1.0), (61.7, 4, 60.2), (250.0, 9, 40.0)])
def test_period_duration_and_depth_of_one_planet_are_measured(period: float, duration: float, epoch: float) -> None:
    time = np.arange(1500)
    distance = np.abs((time - epoch + period / 2) % period - period / 2)
    flux = np.random.default_rng(3).standard_normal(1500) - 6 * (distance < duration / 2)
    features = dict(zip(FLUX_FEATURES, flux_features(flux[None])[0], strict=True))
    assert features["flux_box_period"] == pytest.approx(period, rel=0.002)
    assert features["flux_box_duration"] == pytest.approx(duration, abs=1)
    assert features["flux_box_depth"] == pytest.approx(6, rel=0.15)
    assert features["flux_box_rise"] < 0.5
    assert features["flux_box_second"] < 0.5
    assert features["flux_box_odd_even"] < 4


def test_features_separate_planets_better_than_raw_flux(
    simulated: SimulatedLightCurves, features: pd.DataFrame
) -> None:
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import cross_val_predict

    planet = (simulated.table["LABEL"] == PLANET).to_numpy()
    quiet = (simulated.stars["kind"] == "quiet").to_numpy()
    for name in ("flux_box_snr", "flux_box_peak", "flux_dips"):
        assert features[name][planet].median() > features[name][quiet].median()
    forest = RandomForestClassifier(100, random_state=0)

    def roc_auc(X: NDArray[np.float64]) -> float:
        return float(roc_auc_score(planet, cross_val_predict(forest, X, planet, cv=3, method="predict_proba")[:, 1]))

    assert roc_auc(features.to_numpy()) > 0.9
    assert roc_auc(np.nan_to_num(curves(simulated))) < 0.7


def test_the_simulated_table_is_as_documented(simulated: SimulatedLightCurves) -> None:
    table, stars = simulated.table, simulated.stars
    assert list(table.columns) == ["LABEL", *(f"FLUX.{point}" for point in range(1, 601))]
    planet = table["LABEL"] == PLANET
    assert set(table["LABEL"]) == {PLANET, NO_PLANET}
    assert planet.sum() == round(PLANETS * 500)
    assert stars.loc[planet].notna().all(axis=None)
    assert stars.loc[~planet, ["depth", "period", "duration", "epoch"]].isna().all(axis=None)
    assert (stars["kind"].eq("planet") == planet).all()
    assert ((stars["epoch"] < stars["period"]) & (stars["duration"] < stars["period"] / 5))[planet].all()
    assert (600 / stars["period"])[planet].min() >= 3
    assert 0.005 < np.isnan(curves(simulated)).mean() < 0.015


def test_the_script_writes_the_same_bytes_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    small = ("--stars", "40", "--points", "60", "--seed", "3")
    assert call("simulate_light_curves", *small) == 0
    assert call("simulate_light_curves", *small, "--output", "again/curves.csv") == 0
    assert "40 simulated stars, 60 points each, 5 with a planet" in capsys.readouterr().out
    assert Path("data/raw/light_curves.csv").read_bytes() == Path("again/curves.csv").read_bytes()
    table, expected = pd.read_csv("again/curves.csv"), simulate(40, 60, 3).table
    pd.testing.assert_frame_equal(table.astype("float64"), expected.astype("float64"))
    assert call("simulate_light_curves", "--output", "default.csv") == 0
    assert Path("default.csv").stat().st_size < 4e6
    assert call("simulate_light_curves", "--points", "49") == 2
    assert call("simulate_light_curves", "--stars", "0") == 2

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.datasets.california import totals
from pipeline.datasets.geography import CITIES, km_between, km_to_coast, on_land
from pipeline.datasets.simulated_housing import CAP, LOWEST, NOISE, ROWS, best_rmse, price_model, simulate
from support.repositories import REAL_TABLE, ROOT


def test_the_script_writes_the_committed_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert call("simulate_housing") == 0
    assert (tmp_path / "data/raw/housing.csv").read_bytes() == (ROOT / "data/raw/housing.csv").read_bytes()
    assert "best reachable RMSE: 29,694 dollars" in capsys.readouterr().out
    assert call("simulate_housing", "--rows", "50", "--seed", "2", "--output", "small.csv") == 0
    assert len(pd.read_csv("small.csv")) == 50
    assert call("simulate_housing", "--rows", "0") == 2


def test_best_rmse_is_the_error_of_the_expected_price() -> None:
    price = simulate(3000, seed=5).price
    rng = np.random.default_rng(0)
    draws = np.clip(price + NOISE * rng.standard_normal((2000, len(price))), LOWEST, CAP)
    assert best_rmse(price) == pytest.approx(np.sqrt(draws.var(axis=0).mean()), rel=0.005)
    assert 0.9 * NOISE < best_rmse(price) < NOISE


def test_the_simulated_table_is_as_documented() -> None:
    simulated = simulate()
    table, target = simulated.table, simulated.table["median_house_value"]
    assert len(table) == ROWS
    assert 0.005 < table["total_bedrooms"].isna().mean() < 0.015
    assert table.drop(columns="total_bedrooms").notna().all(axis=None)
    assert (target == CAP).any()
    assert target.max() == CAP
    assert set(table["ocean_proximity"]) == {"ISLAND", "NEAR BAY", "NEAR OCEAN", "<1H OCEAN", "INLAND"}
    np.testing.assert_array_equal(price_model(table), simulated.price)
    free = (target > LOWEST) & (target < CAP - 2 * NOISE)
    assert (target - simulated.price)[free].std() == pytest.approx(NOISE, rel=0.05)


def test_the_geography_is_real() -> None:
    def at(latitude: float, longitude: float) -> tuple[np.ndarray, np.ndarray]:
        return np.array([latitude]), np.array([longitude])

    cities = np.array([city[:2] for city in CITIES.values()])
    assert on_land(cities[:, 0], cities[:, 1]).all()
    assert not on_land(*at(36.0, -124.0))[0]  # the Pacific
    assert not on_land(*at(36.17, -115.14))[0]  # Las Vegas
    # Los Angeles to San Francisco is 559 km; Fresno lies 170 to 190 km from the sea.
    assert km_between(*at(34.05, -118.24), (37.77, -122.42))[0] == pytest.approx(559, rel=0.01)
    assert 160 < km_to_coast(*at(36.74, -119.79))[0] < 200


def test_averages_are_converted_to_the_census_totals() -> None:
    if not REAL_TABLE.exists():
        pytest.skip(f"the real table does not exist: {REAL_TABLE}")
    real = pd.read_csv(REAL_TABLE).dropna().drop(columns="ocean_proximity")
    averages = pd.DataFrame(
        {
            "MedInc": real["median_income"],
            "HouseAge": real["housing_median_age"],
            "AveRooms": real["total_rooms"] / real["households"],
            "AveBedrms": real["total_bedrooms"] / real["households"],
            "Population": real["population"],
            "AveOccup": real["population"] / real["households"],
            "Latitude": real["latitude"],
            "Longitude": real["longitude"],
            "MedHouseVal": real["median_house_value"] / 100_000,
        }
    )
    pd.testing.assert_frame_equal(totals(averages), real, check_like=True)


def test_a_download_without_internet_access_is_one_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path / "cache"))
    for scheme in ("http", "https"):
        monkeypatch.setenv(f"{scheme}_proxy", "http://127.0.0.1:9")
    assert call("fetch_dataset", "california") == 2
    assert "cannot be downloaded" in capsys.readouterr().err
    assert not Path("data").exists()

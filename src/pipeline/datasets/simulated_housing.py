"""Simulate block groups: features, a price by an explicit model, noise of known size, and a cap.

The columns are those of the California housing table of the 1990 census, but none of its rows are used. The price
before the cap is

    price = 40,000
          + 58,000 * income**0.8                            median_income, in 10,000 dollars a year
          + 90,000 * exp(-km_to_coast / 20)
          + sum over cities of premium * exp(-km / 15)
          - 60,000                                          if ocean_proximity is INLAND
          + 1,200 * (age - 28)  within 30 km of a city with a premium of at least 50,000 dollars, else -400 * (age - 28)
          + 9,000 * (rooms / households - 5.4)              difference clipped to [-3, 4]
          - 14,000 * (population / households - 3)          difference clipped to [-1.5, 3]
          + NOISE * a standard normal number

clipped to LOWEST and CAP, and rounded to 100 dollars below the cap. All inputs of the price are columns of the table,
so only the noise and the cap limit a model: no model can have a lower expected RMSE than `best_rmse`.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.datasets.geography import CITIES, CITY_RADIUS_KM, ISLAND, km_between, km_to_coast, on_land, proximity

Values = NDArray[np.float64]

SEED = 1990
ROWS = 12_000
NOISE = 30_000.0
LOWEST, CAP = 15_000.0, 500_001.0
MISSING_BEDROOMS = 0.01
ISLAND_ROWS = 6
# Standard deviation of the locations around a city in degrees, for 90 % of the rows; ten times that for the others.
SPREAD = 0.16


@dataclass(frozen=True)
class SimulatedHousing:
    """A simulated table and its prices without noise.

    Attributes
    ----------
    table : DataFrame, shape (n_rows, 10)
    price : array of float64, shape (n_rows,)
        Each row's price before noise and cap, in dollars.
    """

    table: pd.DataFrame
    price: Values


def simulate(n_rows: int = ROWS, seed: int = SEED) -> SimulatedHousing:
    """Return simulated block groups.

    Parameters
    ----------
    n_rows : int
    seed : int
        The same seed gives the same table.
    """
    rng = np.random.default_rng(seed)
    latitude, longitude, island = _locations(rng, n_rows)
    near_city = np.exp(-km_between(latitude, longitude, CITIES["Los Angeles"][:2]) / 40)
    age = np.clip(np.round(rng.normal(26 + 10 * near_city, 11.5, n_rows)), 1, 52)
    income = np.round(np.clip(rng.lognormal(1.24, 0.44, n_rows), 0.5, 15.0), 4)
    households = np.round(np.clip(rng.lognormal(6.02, 0.68, n_rows), 5, 6000))
    rooms_per_household = np.clip(2.9 + 0.6 * income + rng.normal(0, 0.75, n_rows), 1.5, 14)
    persons_per_household = np.clip(rng.lognormal(1.07, 0.22, n_rows), 1.1, 9)
    rooms = np.maximum(np.round(households * rooms_per_household), 2)
    bedrooms = np.maximum(np.round(households * np.clip(rng.normal(1.07, 0.08, n_rows), 0.7, 1.6)), 1)
    population = np.maximum(np.round(households * persons_per_household), 3)

    table = pd.DataFrame(
        {
            "longitude": longitude,
            "latitude": latitude,
            "housing_median_age": age,
            "total_rooms": rooms,
            "total_bedrooms": np.where(rng.random(n_rows) < MISSING_BEDROOMS, np.nan, bedrooms),
            "population": population,
            "households": households,
            "median_income": income,
            "ocean_proximity": proximity(latitude, longitude, island),
        }
    )
    price = price_model(table)
    noisy = np.clip(price + NOISE * rng.standard_normal(n_rows), LOWEST, CAP)
    table.insert(8, "median_house_value", np.where(noisy < CAP, np.round(noisy, -2), CAP))
    return SimulatedHousing(table, price)


def price_model(table: pd.DataFrame) -> Values:
    """Return each block group's price before noise and cap, in dollars, by the model of this module."""
    latitude, longitude = table["latitude"].to_numpy(), table["longitude"].to_numpy()
    price = 40_000 + 58_000 * table["median_income"].to_numpy() ** 0.8
    price += 90_000 * np.exp(-km_to_coast(latitude, longitude) / 20)
    age_adds_value = np.zeros(len(table), dtype=bool)
    for city_latitude, city_longitude, _, premium in CITIES.values():
        km = km_between(latitude, longitude, (city_latitude, city_longitude))
        price += premium * np.exp(-km / CITY_RADIUS_KM)
        age_adds_value |= (premium >= 50_000) & (km < 30)
    price -= 60_000 * (table["ocean_proximity"] == "INLAND").to_numpy()
    price += np.where(age_adds_value, 1_200, -400) * (table["housing_median_age"].to_numpy() - 28)
    households = table["households"].to_numpy()
    price += 9_000 * np.clip(table["total_rooms"].to_numpy() / households - 5.4, -3, 4)
    price -= 14_000 * np.clip(table["population"].to_numpy() / households - 3, -1.5, 3)
    return np.asarray(price, dtype=np.float64)


def best_rmse(price: Values) -> float:
    """Return the RMSE of the best possible predictor, which knows each row's price before noise and cap.

    It predicts the expected value of the noisy, clipped price. The remaining error is the variance of a normal variable
    censored at two points (Greene, *Econometric Analysis*, on censored normal variables).

    Parameters
    ----------
    price : array of float64, shape (n_rows,)
        Prices before noise and cap, in dollars.
    """
    from scipy.stats import norm

    low, high = (LOWEST - price) / NOISE, (CAP - price) / NOISE
    inside = norm.cdf(high) - norm.cdf(low)
    # First and second moments of the deviation from the price, in units of the noise.
    mean = low * norm.cdf(low) + high * norm.sf(high) + norm.pdf(low) - norm.pdf(high)
    second = low**2 * norm.cdf(low) + high**2 * norm.sf(high)
    second += inside + low * norm.pdf(low) - high * norm.pdf(high)
    return float(NOISE * np.sqrt(np.mean(second - mean**2)))


def _locations(rng: np.random.Generator, n_rows: int) -> tuple[Values, Values, NDArray[np.bool_]]:
    """Draw coordinates on land around the cities, and `ISLAND_ROWS` on the island."""
    centers = np.array([city[:2] for city in CITIES.values()])
    shares = np.array([city[2] for city in CITIES.values()])
    latitude, longitude = np.empty(0), np.empty(0)
    while len(latitude) < n_rows:
        city = rng.choice(len(centers), size=n_rows, p=shares / shares.sum())
        spread = np.where(rng.random(n_rows) < 0.9, SPREAD, 10 * SPREAD)
        new_latitude = np.round(centers[city, 0] + spread * rng.standard_normal(n_rows), 2)
        new_longitude = np.round(centers[city, 1] + spread * rng.standard_normal(n_rows), 2)
        is_land = on_land(new_latitude, new_longitude)
        latitude = np.concatenate([latitude, new_latitude[is_land]])
        longitude = np.concatenate([longitude, new_longitude[is_land]])
    latitude, longitude = latitude[:n_rows], longitude[:n_rows]
    island = np.zeros(n_rows, dtype=np.bool_)
    island[rng.choice(n_rows, size=min(ISLAND_ROWS, n_rows), replace=False)] = True
    latitude[island], longitude[island] = ISLAND
    return latitude, longitude, island

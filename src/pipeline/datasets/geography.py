"""A simple map of California for the simulation: coastline and cities at their real coordinates."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

# Latitude and longitude of capes, bays and towns along the Pacific shore, north to south.
COAST = np.array(
    [
        (42.00, -124.21), (41.75, -124.22), (41.06, -124.15), (40.44, -124.41), (40.02, -124.07), (39.44, -123.82),
        (38.95, -123.74), (38.30, -123.05), (38.00, -123.02), (37.77, -122.51), (37.50, -122.50), (37.18, -122.40),
        (36.95, -122.02), (36.80, -121.79), (36.64, -121.93), (36.31, -121.90), (35.67, -121.29), (35.37, -120.87),
        (35.16, -120.76), (34.90, -120.67), (34.58, -120.65), (34.45, -120.47), (34.41, -119.69), (34.27, -119.28),
        (34.09, -119.06), (34.00, -118.80), (33.98, -118.47), (33.74, -118.41), (33.73, -118.10), (33.60, -117.90),
        (33.46, -117.71), (33.19, -117.39), (32.85, -117.27), (32.67, -117.24), (32.53, -117.12),
    ]
)  # fmt: skip

# Latitude, longitude, weight in the number of block groups, and price premium at the center (dollars).
CITIES: dict[str, tuple[float, float, float, float]] = {
    "Los Angeles": (34.05, -118.24, 24.0, 90_000),
    "Anaheim": (33.84, -117.91, 10.0, 60_000),
    "Riverside": (33.95, -117.40, 6.0, 0),
    "San Bernardino": (34.11, -117.29, 4.0, 0),
    "San Diego": (32.72, -117.16, 9.0, 70_000),
    "San Francisco": (37.77, -122.42, 6.0, 130_000),
    "Oakland": (37.80, -122.27, 6.0, 70_000),
    "San Jose": (37.34, -121.89, 8.0, 100_000),
    "Sacramento": (38.58, -121.49, 6.0, 20_000),
    "Fresno": (36.74, -119.79, 3.0, 5_000),
    "Bakersfield": (35.37, -119.02, 2.5, 0),
    "Stockton": (37.96, -121.29, 2.5, 5_000),
    "Modesto": (37.64, -121.00, 2.0, 5_000),
    "Santa Rosa": (38.44, -122.71, 1.5, 30_000),
    "Santa Barbara": (34.42, -119.70, 1.5, 90_000),
    "San Luis Obispo": (35.28, -120.66, 1.0, 40_000),
    "Monterey": (36.60, -121.89, 1.0, 60_000),
    "Visalia": (36.33, -119.29, 1.5, 0),
    "Redding": (40.59, -122.39, 1.0, 5_000),
    "Chico": (39.73, -121.84, 1.0, 5_000),
    "Eureka": (40.80, -124.16, 0.5, 5_000),
    "Palm Springs": (33.83, -116.55, 1.0, 20_000),
}
CITY_RADIUS_KM = 15.0
# The center of San Francisco Bay, and Avalon on Catalina, the only town on an island.
BAY = (37.72, -122.25)
ISLAND = (33.35, -118.33)
KM_PER_DEGREE = 111.2


def km_between(latitude: Values, longitude: Values, point: tuple[float, float]) -> Values:
    """Return the distance to a point in kilometers, assuming a locally flat earth."""
    north = (latitude - point[0]) * KM_PER_DEGREE
    east = (longitude - point[1]) * KM_PER_DEGREE * np.cos(np.radians((latitude + point[0]) / 2))
    return np.asarray(np.hypot(north, east), dtype=np.float64)


def km_to_coast(latitude: Values, longitude: Values) -> Values:
    """Return the distance to the coastline in kilometers."""
    east_scale = np.cos(np.radians(37.0))
    points = np.column_stack([latitude, longitude * east_scale]) * KM_PER_DEGREE
    coast = COAST * (KM_PER_DEGREE, KM_PER_DEGREE * east_scale)
    nearest = np.full(len(points), np.inf)
    for start, end in pairwise(coast):
        along = end - start
        fraction = np.clip((points - start) @ along / (along @ along), 0.0, 1.0)
        nearest = np.minimum(nearest, np.hypot(*(points - start - fraction[:, None] * along).T))
    return np.asarray(nearest, dtype=np.float64)


def on_land(latitude: Values, longitude: Values) -> NDArray[np.bool_]:
    """Return whether points lie between the coastline and the eastern border of the state."""
    north = COAST[::-1]
    shore = np.interp(latitude, north[:, 0], north[:, 1])
    # The border is the meridian 120 W from Oregon to Lake Tahoe, then a line to the Colorado River.
    border = np.interp(latitude, [32.7, 34.3, 35.0, 39.0, 42.0], [-114.7, -114.2, -114.6, -120.0, -120.0])
    inside = (latitude > COAST[-1, 0]) & (latitude < COAST[0, 0])
    return np.asarray(inside & (longitude > shore) & (longitude < border), dtype=np.bool_)


def proximity(latitude: Values, longitude: Values, island: NDArray[np.bool_]) -> NDArray[np.str_]:
    """Return each point's ocean_proximity category."""
    coast = km_to_coast(latitude, longitude)
    near_bay = km_between(latitude, longitude, BAY) < 32
    return np.select(
        [island, near_bay, coast < 8, coast < 50], ["ISLAND", "NEAR BAY", "NEAR OCEAN", "<1H OCEAN"], "INLAND"
    )

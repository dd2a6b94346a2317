"""Compare the box search with astropy's box least squares, which evaluates every period of a fine grid."""

from typing import NamedTuple

import numpy as np
import pytest
from astropy.timeseries import BoxLeastSquares

from pipeline.features.transits import SHORTEST_PERIOD, search_boxes


class Transit(NamedTuple):
    """Transits of a planet: times in points, depth in standard deviations of the noise, share of missing values."""

    n_points: int
    period: float
    duration: int
    epoch: float
    depth: float
    missing: float = 0.0


PLANETS = [
    Transit(600, 41.3, 3, 1.0, 6.0),
    Transit(600, 73.7, 4, 20.0, 4.0, 0.02),
    Transit(1000, 120.5, 5, 100.0, 3.0),
    Transit(1500, 22.4, 3, 11.0, 2.0),
    Transit(1500, 61.7, 4, 60.2, 2.5, 0.05),
    Transit(1500, 250.0, 9, 40.0, 5.0, 0.01),
    Transit(3197, 333.3, 8, 200.0, 2.5, 0.01),
]


def make_curve(planet: Transit, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a detrended curve with noise of unit variance, and a mask of the points that have values."""
    rng = np.random.default_rng(seed)
    times = np.arange(planet.n_points)
    distance = np.abs((times - planet.epoch + planet.period / 2) % planet.period - planet.period / 2)
    flat = rng.standard_normal(planet.n_points) - planet.depth * (distance < planet.duration / 2)
    known = rng.random(planet.n_points) >= planet.missing
    return np.where(known, flat, 0.0), known


def best_astropy_box(oracle: BoxLeastSquares, n_points: int) -> tuple[float, float, float, float]:
    """Return period, duration, depth and signal-to-noise ratio of the best box, on a grid refined once."""
    frequencies = np.linspace(2 / n_points, 1 / SHORTEST_PERIOD, n_points)
    for _ in range(2):
        results = oracle.power(1 / frequencies, np.arange(2.0, 13.0), objective="snr", oversample=10)
        best = int(results.power.argmax())
        step = frequencies[1] - frequencies[0]
        frequencies = np.linspace(frequencies[best] - step, frequencies[best] + step, 200)
    return results.period[best], results.duration[best], results.depth[best], results.depth_snr[best]


@pytest.mark.parametrize("planet", PLANETS, ids=lambda planet: f"{planet.n_points}-{planet.period}")
@pytest.mark.parametrize("seed", range(2))
def test_the_best_box_agrees_with_astropy(planet: Transit, seed: int) -> None:
    flat, known = make_curve(planet, seed)
    (box,) = search_boxes(flat[None], known[None])
    oracle = BoxLeastSquares(np.flatnonzero(known).astype(float), flat[known], dy=1.0)
    period, duration, depth, snr = best_astropy_box(oracle, planet.n_points)
    assert box["flux_box_period"] == pytest.approx(period, rel=0.003)
    assert box["flux_box_duration"] == pytest.approx(duration, abs=1.1)
    assert box["flux_box_depth"] == pytest.approx(depth, rel=0.06)
    assert box["flux_box_snr"] == pytest.approx(snr, rel=0.12)  # ours uses the noise of this curve, astropy's uses 1

    same_box = oracle.power([box["flux_box_period"]], [box["flux_box_duration"]], objective="snr", oversample=20)
    # Our depth is measured from 0, astropy's from the mean outside the box.
    assert box["flux_box_depth"] == pytest.approx(same_box.depth[0], rel=0.08)
    assert box["flux_box_snr"] == pytest.approx(same_box.depth_snr[0], rel=0.12)

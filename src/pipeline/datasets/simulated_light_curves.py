"""Simulate light curves: the brightness of stars at evenly spaced times; some stars have a transiting planet.

The columns are those of the public table of Kepler's third campaign ("exoplanet hunting"): LABEL, 2 for a star with a
planet and 1 for one without, then FLUX.1 to FLUX.n; none of its rows are used. Points are 29.4244 minutes apart,
Kepler's long cadence. A value is the deviation of the brightness from the star's median, in parts per million (ppm) of
it, as an integer. With the time t in points, u from -1 to 1 over the curve, and s the star's noise, log-uniform from 50
to 800 ppm, it is the sum of

    s * a standard normal number
    + a * u + b * (u**2 - 1/3)          trend: a, b normal with standard deviation 5 s
    + A * (sin(2 pi t / R + p) + 0.4 * sin(4 pi t / R + q))
                                        spots, a share SPOTTED of the stars: R of 4 to 30 days, A of 1 to 20 s
    + A * sin(2 pi t / R + p)           pulsation, a share PULSATING: R of 2 to 12 hours, A of 0.5 to 3 s
    + A * exp(-(t - t0) / w), t >= t0   one to three flares, a share FLARING: A of 5 to 40 s, w of 1 to 4
    + A or - A                          one to four single points, a share GLITCHING: A of 5 to 25 s

and at most one of the following signals. Values with a range are log-uniform.

planet (a share PLANETS of the stars)
    -depth, where t is within duration / 2 of epoch + k * period. The depth is 1.2 to 8 s, from hidden in the noise to
    obvious. The period is one day to a third of the curve. The duration, in hours, is
    13 * (period / 365.25 days)**(1/3), that of a central transit of the Sun (Winn 2010, *Exoplanet transits and
    occultations*, equation 19), times 0.6 to 1.3 for off-center transits and other stars.
binary (a share BINARIES)
    An eclipsing binary, often a faint one in the background: V-shaped dips, 1.2 to 2.5 times as long as transits and
    2 to 60 s deep, and half a period later dips of 0.1 to 0.9 times that depth.
dropout (a share DROPOUTS)
    One or two sudden drops of 2 to 15 s at random times, each recovering as exp(-(t - t0) / w), w of 3 to 20.

A share MISSING of the points is missing, half of them in one gap.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Values = NDArray[np.float64]

SEED = 2009
STARS, POINTS = 1000, 600
MIN_POINTS = 50
POINTS_PER_DAY = 24 * 60 / 29.4244
PLANET, NO_PLANET = 2, 1  # values of LABEL, as in the public table
PLANETS, BINARIES, DROPOUTS = 0.12, 0.08, 0.06
SPOTTED, PULSATING, FLARING, GLITCHING = 0.6, 0.08, 0.12, 0.3
MISSING = 0.01


@dataclass(frozen=True)
class SimulatedLightCurves:
    """A simulated table and the true properties of its stars.

    Attributes
    ----------
    table : DataFrame, shape (n_stars, 1 + n_points)
        LABEL and FLUX.1 to FLUX.n, integers with missing values.
    known : DataFrame, shape (n_stars, 6)
        The noise in ppm; the planet's depth in ppm, and its period, duration and epoch (the middle of the first
        transit) in points, NaN without a planet; and the kind: "planet", "binary", "dropout" or "quiet".
    """

    table: pd.DataFrame
    stars: pd.DataFrame


def simulate(n_stars: int = STARS, n_points: int = POINTS, seed: int = SEED) -> SimulatedLightCurves:
    """Return simulated light curves.

    Parameters
    ----------
    n_stars : int
    n_points : int
        At least `MIN_POINTS`, about one day.
    seed : int
        The same seed gives the same table.
    """
    rng = np.random.default_rng(seed)
    shares = {"planet": PLANETS, "binary": BINARIES, "dropout": DROPOUTS}
    kinds = [kind for kind, share in shares.items() for _ in range(round(share * n_stars))]
    kinds = [str(kind) for kind in rng.permutation(kinds + ["quiet"] * (n_stars - len(kinds)))]
    flux, known = np.empty((n_stars, n_points)), []
    for row, kind in enumerate(kinds):
        noise = _log_uniform(rng, 50, 800)
        flux[row], properties = noise * _star(rng, n_points), {"noise": noise}
        if kind == "planet":
            period, duration, epoch = _orbit(rng, n_points)
            properties |= {
                "depth": noise * _log_uniform(rng, 1.2, 8),
                "period": period,
                "duration": duration,
                "epoch": epoch,
            }
            flux[row] -= properties["depth"] * (_distance(n_points, period, epoch) < duration / 2)
        elif kind == "binary":
            flux[row] -= noise * _eclipses(rng, n_points)
        elif kind == "dropout":
            for _ in range(rng.integers(1, 3)):
                flux[row] -= noise * _decay(rng, n_points, _log_uniform(rng, 2, 15), _log_uniform(rng, 3, 20))
        known.append(properties)
    flux = np.rint(flux - np.median(flux, axis=1, keepdims=True)) + 0.0  # turns -0 into 0
    flux[rng.random(flux.shape) < MISSING / 2] = np.nan
    gap = max(round(MISSING / 2 * n_points), 1)
    for row, start in enumerate(rng.integers(0, n_points - gap + 1, n_stars)):
        flux[row, start : start + gap] = np.nan
    table = pd.DataFrame(flux, columns=[f"FLUX.{point}" for point in range(1, n_points + 1)])
    table.insert(0, "LABEL", [PLANET if kind == "planet" else NO_PLANET for kind in kinds])
    columns = ["noise", "depth", "period", "duration", "epoch"]
    return SimulatedLightCurves(table, pd.DataFrame(known, columns=columns).assign(kind=kinds))


def _star(rng: np.random.Generator, n_points: int) -> Values:
    """Draw a star's noise, trend, spots, pulsation, flares and glitches, in units of its noise."""
    t, u = np.arange(n_points), np.linspace(-1, 1, n_points)
    flux = rng.standard_normal(n_points) + 5 * rng.standard_normal() * u + 5 * rng.standard_normal() * (u**2 - 1 / 3)
    if rng.random() < SPOTTED:
        angle = 2 * np.pi * t / (_log_uniform(rng, 4, 30) * POINTS_PER_DAY)
        phase, second_phase = rng.uniform(0, 2 * np.pi, 2)
        flux += _log_uniform(rng, 1, 20) * (np.sin(angle + phase) + 0.4 * np.sin(2 * angle + second_phase))
    if rng.random() < PULSATING:
        angle = 2 * np.pi * t / (_log_uniform(rng, 2, 12) / 24 * POINTS_PER_DAY)
        flux += _log_uniform(rng, 0.5, 3) * np.sin(angle + rng.uniform(0, 2 * np.pi))
    if rng.random() < FLARING:
        for _ in range(rng.integers(1, 4)):
            flux += _decay(rng, n_points, _log_uniform(rng, 5, 40), _log_uniform(rng, 1, 4))
    if rng.random() < GLITCHING:
        for point in rng.integers(0, n_points, rng.integers(1, 5)):
            flux[point] += _log_uniform(rng, 5, 25) * rng.choice([-1, 1])
    return np.asarray(flux)


def _orbit(rng: np.random.Generator, n_points: int) -> tuple[float, float, float]:
    """Draw the period, duration and epoch of periodic dips, in points."""
    longest = n_points / 3
    period = _log_uniform(rng, min(POINTS_PER_DAY, longest / 2), longest)
    hours = 13 * (period / POINTS_PER_DAY / 365.25) ** (1 / 3)
    return period, hours / 24 * POINTS_PER_DAY * rng.uniform(0.6, 1.3), rng.uniform(0, period)


def _distance(n_points: int, period: float, epoch: float) -> Values:
    """Return each point's distance from the middle of the nearest dip, in points."""
    return np.asarray(np.abs((np.arange(n_points) - epoch + period / 2) % period - period / 2))


def _eclipses(rng: np.random.Generator, n_points: int) -> Values:
    """Draw the V-shaped dips of an eclipsing binary, in units of its noise."""
    period, duration, epoch = _orbit(rng, n_points)
    half = duration * rng.uniform(1.2, 2.5) / 2
    first, second = (_distance(n_points, period, start) for start in (epoch, epoch + period / 2))
    ratio = rng.uniform(0.1, 0.9)
    return _log_uniform(rng, 2, 60) * (np.clip(1 - first / half, 0, 1) + ratio * np.clip(1 - second / half, 0, 1))


def _decay(rng: np.random.Generator, n_points: int, height: float, width: float) -> Values:
    """Draw a sudden change at a random time and its exponential recovery with a time constant of `width` points."""
    since = np.arange(n_points) - rng.integers(0, n_points)
    return np.where(since < 0, 0.0, height * np.exp(-np.maximum(since, 0) / width))


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw a log-uniform number."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))

"""Features of light curves: statistics, periodogram and a search for transits, from columns FLUX.1 to FLUX.n.

A curve is the brightness of one star at evenly spaced times. Times, periods and durations are counted in points. A
row's features depend on that row alone and are the same to the last bit in a batch of any size: what is computed for
many stars at once is elementwise along the axis of stars, and the rest star by star.
"""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.features.transits import TINY, boxes_of

Values = NDArray[np.float64]
Matrix = NDArray[np.float32]

FLUX_FEATURES = (
    # Of the curve as it is.
    "flux_missing",  # share of points without a value
    "flux_log_scatter",  # decimal logarithm of the robust deviation from the running median, in the flux's unit
    "flux_trend",  # standard deviation of the running median, in robust deviations, and so all that follow
    "flux_autocorrelation",  # of one point with the next
    "flux_period",  # of the strongest frequency
    "flux_power",  # its share of the power
    "flux_harmonic",  # power at twice the frequency over that at the frequency
    "flux_entropy",  # of the power's distribution over frequencies: 1 for noise, 0 for a pure sine
    # Of the flat curve: less its running median, divided by its robust deviation.
    "flux_std",
    "flux_skew",
    "flux_kurtosis",
    "flux_min",
    "flux_max",
    "flux_q01",
    "flux_q05",
    "flux_q95",
    "flux_q99",
    "flux_below_3",  # shares of points more than so many deviations low
    "flux_below_5",
    "flux_flat_autocorrelation",
    "flux_flat_period",
    "flux_flat_power",
    "flux_dips",  # runs of two or more points at least DIP deviations low, per 1000 points
    "flux_dip_longest",  # points in the longest of them
    "flux_dip_lowest",  # the least mean of one of them
    # Of the box-shaped periodic dip that fits the flat curve best.
    "flux_box_period",
    "flux_box_duration",
    "flux_box_duty",  # duration over period
    "flux_box_depth",
    "flux_box_snr",  # depth over its standard error
    "flux_box_peak",  # how far its period's best box stands above those of other periods, in their deviations
    "flux_box_rise",  # signal-to-noise of the best periodic rise over that of the dip
    "flux_box_transits",  # transits with at least one value
    "flux_box_odd_even",  # difference between depths of odd and even transits, over its standard error
    "flux_box_second",  # signal-to-noise of the best other dip at the same period over that of the first
    "flux_box_shape",  # depth in the outer half of the duration over that in the inner: 1 for a box, less for a V
    "flux_box_triangle",  # signal-to-noise of the best triangle there, one to three durations wide, over the box's
    "flux_box_wings",  # depth just outside, half a duration on both sides, over that inside
    "flux_box_single",  # share of the deepest transit in the summed depth of all points
    "flux_box_spread",  # variance of the transits' depths over what the noise explains
)
FEWEST = 16  # values a curve must have; features of one with fewer are 0, but for flux_missing
WINDOW = 49  # points of the running median: a day of Kepler's long cadence, several times a transit
LIMIT = 1e4  # of the flat curve, in deviations: beyond it, numbers say nothing more
DIP = 2.5
CHUNK = 32  # stars searched at once: their folded curves fit into the processor's cache


def flux_columns(names: Sequence[str]) -> list[str]:
    """Return the columns that hold a light curve: FLUX.1, flux_2, Flux3 and the like, in the order of their numbers."""
    numbers = {name: found for name in names if (found := re.fullmatch(r"flux[._]?(\d+)", name, re.IGNORECASE))}
    return sorted(numbers, key=lambda name: int(numbers[name][1]))


def flux_features(flux: NDArray[np.floating]) -> Matrix:
    """Compute the features of light curves.

    Parameters
    ----------
    flux : array, shape (n_stars, n_points)
        In any unit; NaN where a value is missing.

    Returns
    -------
    array of float32, shape (n_stars, len(FLUX_FEATURES))
        Always finite; what a curve is too short or too constant for is 0.

    Notes
    -----
    Depths, and all else but flux_log_scatter, change neither with the flux's unit nor with a constant added to it.
    The box is that of least squares (Kovács, Zucker & Mazeh 2002, *A box-fitting algorithm in the search for periodic
    transits*): with n points of unit variance, of which c lie in the box and sum to s, the signal-to-noise is
    -s / sqrt(c * (1 - c / n)). Curves are folded by the fast folding algorithm (Staelin 1969, *Fast folding algorithm
    for detection of periodic pulse trains*).
    """
    out = np.zeros((len(flux), len(FLUX_FEATURES)), dtype=np.float32)
    for start in range(0, len(flux), CHUNK):
        chunk = np.array(flux[start : start + CHUNK], dtype=np.float64, order="C")
        known = np.isfinite(chunk)
        curves = [_of_curve(*row) for row in zip(chunk, known, strict=True)]
        boxes = boxes_of(np.array([flat for flat, _ in curves]), known)
        for row, (_, found) in enumerate(curves):
            features = found | boxes[row]
            out[start + row] = [features.get(name, 0.0) for name in FLUX_FEATURES]
    return out


def _of_curve(curve: Values, known: NDArray[np.bool_]) -> tuple[Values, dict[str, float]]:
    """Return the flat curve, 0 where a value is missing, and all features but those of the box."""
    from scipy.ndimage import median_filter

    flat, features = np.zeros_like(curve), {"flux_missing": float(1 - known.mean())}
    if known.sum() < FEWEST:
        return flat, features
    largest = float(np.abs(curve[known]).max()) or 1.0
    times = np.arange(len(curve))
    curve = np.interp(times, times[known], curve[known] / largest)  # squares of huge values would be infinite
    # The filter reads beyond a curve shorter than its window: so it gets a longer one.
    half = WINDOW // 2
    trend = median_filter(np.pad(curve, half, mode="symmetric"), WINDOW)[half:-half]
    rest = curve - trend
    scatter = 1.4826 * np.median(np.abs(rest[known] - np.median(rest[known])))
    if scatter < TINY:  # as many values are equal
        scatter = rest[known].std()
    if scatter < TINY:
        return flat, features
    flat[known] = np.clip(rest[known] / scatter, -LIMIT, LIMIT)
    return flat, features | _raw(curve, trend, scatter, largest) | _statistics(flat, known) | _dips(flat)


def _raw(curve: Values, trend: Values, scatter: float, largest: float) -> dict[str, float]:
    period, power, harmonic, entropy = _periodogram(curve)
    return {
        "flux_log_scatter": float(np.log10(scatter) + np.log10(largest)),
        "flux_trend": float(trend.std() / scatter),
        "flux_autocorrelation": _autocorrelation(curve),
        "flux_period": period,
        "flux_power": power,
        "flux_harmonic": harmonic,
        "flux_entropy": entropy,
    }


def _periodogram(curve: Values) -> tuple[float, float, float, float]:
    """Return the strongest frequency's period and share of power, its harmonic's power, and the distribution's entropy.

    Without the curve's mean and slope. A library's periodogram takes the slope by LAPACK, several times as slow, and
    its import most of a second.
    """
    from scipy.fft import next_fast_len, rfft, rfftfreq

    length = next_fast_len(len(curve), real=True)
    time = np.linspace(-1, 1, len(curve))
    level = curve - curve.mean()
    level = level - time * (np.sum(time * level) / np.sum(time**2))
    frequency, power = rfftfreq(length)[1:], np.abs(rfft(level, length)[1:]) ** 2
    if power.sum() <= 0:
        return 0.0, 0.0, 0.0, 0.0
    power = power / power.sum()
    best = int(power.argmax())
    twice = power[2 * best : 2 * best + 3]  # frequency[2 * best + 1] is twice frequency[best]
    entropy = -np.sum(power * np.log(np.maximum(power, 1e-300))) / np.log(len(power))
    harmonic = twice.max() / power[best] if len(twice) else 0.0
    return float(1 / frequency[best]), float(power[best]), float(harmonic), float(entropy)


def _autocorrelation(curve: Values) -> float:
    centred = curve - curve.mean()
    square = np.sum(centred**2)
    return float(np.sum(centred[1:] * centred[:-1]) / square) if square > 0 else 0.0


def _statistics(flat: Values, known: NDArray[np.bool_]) -> dict[str, float]:
    values = flat[known]
    deviation = values.std()
    standard = (values - values.mean()) / deviation
    q01, q05, q95, q99 = np.percentile(values, [1, 5, 95, 99])
    period, power, _, _ = _periodogram(flat)
    return {
        "flux_std": deviation,
        "flux_skew": np.mean(standard**3),
        "flux_kurtosis": np.mean(standard**4),
        "flux_min": values.min(),
        "flux_max": values.max(),
        "flux_q01": q01,
        "flux_q05": q05,
        "flux_q95": q95,
        "flux_q99": q99,
        "flux_below_3": np.mean(values < -3),
        "flux_below_5": np.mean(values < -5),
        "flux_flat_autocorrelation": _autocorrelation(flat),
        "flux_flat_period": period,
        "flux_flat_power": power,
    }


def _dips(flat: Values) -> dict[str, float]:
    edges = np.flatnonzero(np.diff(flat < -DIP, prepend=False, append=False))
    starts, ends = edges[::2], edges[1::2]
    long = ends - starts >= 2
    if not long.any():
        return {}
    total = np.append(0.0, np.cumsum(flat))
    lengths = (ends - starts)[long]
    return {
        "flux_dips": 1000 * len(lengths) / len(flat),
        "flux_dip_longest": float(lengths.max()),
        "flux_dip_lowest": float(((total[ends] - total[starts])[long] / lengths).min()),
    }

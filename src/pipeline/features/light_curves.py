"""Compute features of light curves: statistics, periodogram and a transit search over columns FLUX.1 to FLUX.n.

A curve is the brightness of one star at evenly spaced times. Times, periods and durations are in points. The features
of a row depend only on that row and are bit-identical in a batch of any size: operations on many stars at once are
elementwise along the axis of stars, and all others run star by star.
"""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.features.transits import TINY, search_boxes

Values = NDArray[np.float64]
Matrix = NDArray[np.float32]

FLUX_FEATURES = (
    # The original curve.
    "flux_missing",  # share of points without a value
    "flux_log_scatter",  # log10 of the robust deviation from the running median, in the unit of the flux
    "flux_trend",  # standard deviation of the running median; from here on, the unit is the robust deviation
    "flux_autocorrelation",  # at lag 1
    "flux_period",  # period of the strongest frequency
    "flux_power",  # its share of the total power
    "flux_harmonic",  # power at twice that frequency divided by the power at it
    "flux_entropy",  # normalized spectral entropy: 1 for white noise, 0 for a pure sine
    # The detrended curve: minus the running median, divided by the robust deviation.
    "flux_std",
    "flux_skew",
    "flux_kurtosis",
    "flux_min",
    "flux_max",
    "flux_q01",
    "flux_q05",
    "flux_q95",
    "flux_q99",
    "flux_below_3",  # share of points more than 3 deviations low
    "flux_below_5",
    "flux_flat_autocorrelation",
    "flux_flat_period",
    "flux_flat_power",
    "flux_dips",  # number of dips per 1000 points; a dip is 2 or more points more than DIP_DEPTH deviations low
    "flux_dip_longest",  # points in the longest dip
    "flux_dip_lowest",  # mean of the deepest dip
    # The box-shaped periodic dip that fits the detrended curve best.
    "flux_box_period",
    "flux_box_duration",
    "flux_box_duty",  # duration divided by period
    "flux_box_depth",
    "flux_box_snr",  # depth divided by its standard error
    "flux_box_peak",  # height above the best boxes of other periods, in their standard deviations
    "flux_box_rise",  # signal-to-noise ratio of the best periodic rise divided by that of the dip
    "flux_box_transits",  # transits with at least one value
    "flux_box_odd_even",  # depth difference of odd and even transits, divided by its standard error
    "flux_box_second",  # signal-to-noise ratio of the second-best dip at this period divided by that of the best
    "flux_box_shape",  # depth in the outer half of the duration divided by the inner: 1 for a box, less for a V
    "flux_box_triangle",  # signal-to-noise ratio of the best triangle, 1 to 3 durations wide, divided by the box's
    "flux_box_wings",  # depth just outside, half a duration on each side, divided by the depth inside
    "flux_box_single",  # share of the deepest transit in the summed depth of all points
    "flux_box_spread",  # variance of transit depths divided by the variance that noise explains
)
MIN_VALUES = 16  # curves with fewer values have features of 0, except for flux_missing
WINDOW = 49  # points of the running median: a day of Kepler's long cadence, several times a transit
MAX_DEVIATIONS = 1e4  # larger values of the detrended curve carry no more information and are clipped
DIP_DEPTH = 2.5
CHUNK = 32  # stars searched at once, so that their folded curves fit into the CPU cache


def flux_columns(names: Sequence[str]) -> list[str]:
    """Return the columns that hold a light curve (FLUX.1, flux_2, Flux3, …), sorted by their number."""
    matches = {name: match for name in names if (match := re.fullmatch(r"flux[._]?(\d+)", name, re.IGNORECASE))}
    return sorted(matches, key=lambda name: int(matches[name][1]))


def flux_features(flux: NDArray[np.floating]) -> Matrix:
    """Compute the features of light curves.

    Parameters
    ----------
    flux : array, shape (n_stars, n_points)
        In any unit; NaN where a value is missing.

    Returns
    -------
    array of float32, shape (n_stars, len(FLUX_FEATURES))
        Always finite; 0 where a curve is too short or too constant for a feature.

    Notes
    -----
    All features except flux_log_scatter are independent of the unit of the flux and of a constant offset.

    Boxes are fitted by least squares (Kovács, Zucker & Mazeh 2002, *A box-fitting algorithm in the search for periodic
    transits*): for n points of unit variance, of which c are in the box and sum to s, the signal-to-noise ratio is
    -s / sqrt(c * (1 - c / n)). Curves are folded with the fast folding algorithm (Staelin 1969, *Fast folding
    algorithm for detection of periodic pulse trains*).
    """
    out = np.zeros((len(flux), len(FLUX_FEATURES)), dtype=np.float32)
    for start in range(0, len(flux), CHUNK):
        chunk = np.array(flux[start : start + CHUNK], dtype=np.float64, order="C")
        known = np.isfinite(chunk)
        curves = [_curve_features(*row) for row in zip(chunk, known, strict=True)]
        boxes = search_boxes(np.array([flat for flat, _ in curves]), known)
        for row, (_, curve_features) in enumerate(curves):
            features = curve_features | boxes[row]
            out[start + row] = [features.get(name, 0.0) for name in FLUX_FEATURES]
    return out


def _curve_features(curve: Values, known: NDArray[np.bool_]) -> tuple[Values, dict[str, float]]:
    """Return the detrended curve, 0 where a value is missing, and all features except those of the box."""
    from scipy.ndimage import median_filter

    flat, features = np.zeros_like(curve), {"flux_missing": float(1 - known.mean())}
    if known.sum() < MIN_VALUES:
        return flat, features
    largest = float(np.abs(curve[known]).max()) or 1.0
    times = np.arange(len(curve))
    curve = np.interp(times, times[known], curve[known] / largest)  # unscaled, squares of huge values would overflow
    # Pad the curve: the filter reads out of bounds if a curve is shorter than its window.
    half = WINDOW // 2
    trend = median_filter(np.pad(curve, half, mode="symmetric"), WINDOW)[half:-half]
    residuals = curve - trend
    scatter = 1.4826 * np.median(np.abs(residuals[known] - np.median(residuals[known])))
    if scatter < TINY:  # half of the values or more are equal
        scatter = residuals[known].std()
    if scatter < TINY:
        return flat, features
    flat[known] = np.clip(residuals[known] / scatter, -MAX_DEVIATIONS, MAX_DEVIATIONS)
    features |= _original_features(curve, trend, scatter, largest) | _flat_features(flat, known) | _dip_features(flat)
    return flat, features


def _original_features(curve: Values, trend: Values, scatter: float, largest: float) -> dict[str, float]:
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
    """Return period and power share of the strongest frequency, relative power of its harmonic, and spectral entropy.

    The mean and slope are removed first. SciPy's periodogram removes the slope with LAPACK, which is several times
    slower, and takes most of a second to import.
    """
    from scipy.fft import next_fast_len, rfft, rfftfreq

    length = next_fast_len(len(curve), real=True)
    time = np.linspace(-1, 1, len(curve))
    detrended = curve - curve.mean()
    detrended = detrended - time * (np.sum(time * detrended) / np.sum(time**2))
    frequency, power = rfftfreq(length)[1:], np.abs(rfft(detrended, length)[1:]) ** 2
    if power.sum() <= 0:
        return 0.0, 0.0, 0.0, 0.0
    power = power / power.sum()
    best = int(power.argmax())
    harmonic_power = power[2 * best : 2 * best + 3]  # frequency[2 * best + 1] is twice frequency[best]
    entropy = -np.sum(power * np.log(np.maximum(power, 1e-300))) / np.log(len(power))
    harmonic = harmonic_power.max() / power[best] if len(harmonic_power) else 0.0
    return float(1 / frequency[best]), float(power[best]), float(harmonic), float(entropy)


def _autocorrelation(curve: Values) -> float:
    centered = curve - curve.mean()
    square = np.sum(centered**2)
    return float(np.sum(centered[1:] * centered[:-1]) / square) if square > 0 else 0.0


def _flat_features(flat: Values, known: NDArray[np.bool_]) -> dict[str, float]:
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


def _dip_features(flat: Values) -> dict[str, float]:
    edges = np.flatnonzero(np.diff(flat < -DIP_DEPTH, prepend=False, append=False))
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

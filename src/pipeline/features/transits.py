"""Search detrended light curves for box-shaped periodic dips, such as the transits of a planet.

Boxes are fitted by least squares (Kovács, Zucker & Mazeh 2002, *A box-fitting algorithm in the search for periodic
transits*), and curves are folded with the fast folding algorithm (Staelin 1969, *Fast folding algorithm for detection
of periodic pulse trains*). Times, periods and durations are in points.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
Matrix = NDArray[np.float32]

TINY = 1e-12
SHORTEST_PERIOD = 16
WIDTHS = (1, 2, 4)  # box widths in bins; each must be twice the previous one
N_PERIODS = 9  # periods tried around the best one of the search


def search_boxes(flat: Values, known: NDArray[np.bool_]) -> list[dict[str, float]]:
    """Search detrended curves for box-shaped periodic dips.

    Parameters
    ----------
    flat : array of float64, shape (n_stars, n_points)
        Curves of mean 0 and unit variance; 0 where a value is missing.
    known : array of bool, shape (n_stars, n_points)
        Whether a point has a value.

    Returns
    -------
    list of dict, length n_stars
        Features of the best box by name; empty for a curve that is too short or constant.
    """
    trials = list(_trials(flat.shape[1]))
    if not trials:
        return [{} for _ in flat]
    clipped = _clip_outliers(flat)
    low, high = (np.zeros((len(trials), len(flat)), dtype=np.float32) for _ in range(2))
    binned, binned_size = _bin(clipped, 1), 1
    for trial, (size, period) in enumerate(trials):
        if size != binned_size:
            binned, binned_size = _bin(clipped, size), size
        for _, sums, factor in _box_sums(binned, period):
            low[trial] = np.minimum(low[trial], factor * sums.min(axis=0).min(axis=0))
            high[trial] = np.maximum(high[trial], factor * sums.max(axis=0).max(axis=0))
    features: list[dict[str, float]] = []
    for row, curve in enumerate(flat):
        spectrum = -low[:, row].astype(np.float64)
        best = int(spectrum.argmax())
        if spectrum[best] <= 0:
            features.append({})
            continue
        features.append(_refine_box(curve, clipped[row], known[row], *trials[best]))
        features[-1] |= {
            "flux_box_peak": float((spectrum[best] - np.median(spectrum)) / max(spectrum.std(), TINY)),
            "flux_box_rise": float(high[:, row].max() / spectrum[best]),
        }
    return features


def _trials(n_points: int) -> Iterator[tuple[int, int]]:
    """Yield the bin size in points and the period in bins of each trial, with periods up to half the curve.

    A trial covers the periods up to the next trial. A central transit of a Sun-like star lasts period**(1/3) points of
    Kepler's long cadence (Winn 2010, equation 19); bins are about a third of that.
    """
    shortest = SHORTEST_PERIOD
    while shortest < n_points / 2:
        size = max(1, int(0.4 * shortest ** (1 / 3)))
        yield from ((size, period) for period in range(-(-shortest // size), min(2 * shortest, n_points // 2) // size))
        shortest *= 2


def _clip_outliers(flat: Values) -> Values:
    """Clip each point to within 3 deviations of its neighbors' range: no transit lasts only one point."""
    padded = np.pad(flat, ((0, 0), (1, 1)), mode="edge")
    before, after = padded[:, :-2], padded[:, 2:]
    return np.asarray(np.clip(flat, np.minimum(before, after) - 3, np.maximum(before, after) + 3))


def _bin(flat: Values, size: int) -> Matrix:
    """Return means of `size` points, scaled by sqrt(size) to unit variance: shape (n_bins, n_stars)."""
    n_bins = flat.shape[1] // size
    sums = flat[:, : n_bins * size].reshape(len(flat), n_bins, size).sum(axis=2)
    return np.ascontiguousarray(sums.T / np.sqrt(size), dtype=np.float32)


def _fold(binned: Matrix, period: int) -> Matrix:
    """Fold curves at the periods from `period` to `period` + 1 bins with the fast folding algorithm.

    The curve is cut into rows of one period. Two adjacent blocks of rows, each folded at s drifts, are merged into one
    folded at 2s drifts: for a drift of d bins from the first to the last row, each block drifts by d // 2, and the
    second one is shifted by (d + 1) // 2.

    Returns
    -------
    array of float32, shape (n_drifts, period, n_stars)
        Sums; index i of the first axis is for the period `period` + i / (n_drifts - 1).
    """
    n_bins, n_stars = binned.shape
    rows = 1 << (-(-n_bins // period) - 1).bit_length()
    padded = np.zeros((rows * period, n_stars), dtype=np.float32)
    padded[:n_bins] = binned
    blocks = padded.reshape(rows, 1, period, n_stars)
    while len(blocks) > 1:
        pairs, drifts = len(blocks) // 2, blocks.shape[1]
        drift = np.arange(2 * drifts)[:, None]
        indices = drift // 2 * period + (np.arange(period) + (drift + 1) // 2) % period
        shifted = blocks[1::2].reshape(pairs, drifts * period, n_stars).take(indices.ravel(), axis=1)
        merged = shifted.reshape(pairs, drifts, 2, period, n_stars)
        merged += blocks[::2, :, None]
        blocks = merged.reshape(pairs, 2 * drifts, period, n_stars)
    folded: Matrix = blocks[0]
    return folded


def _box_sums(binned: Matrix, period: int) -> Iterator[tuple[int, Matrix, float]]:
    """Yield each box width in bins, the sums by drift and phase, and the factor that scales them to unit variance."""
    folded = _fold(binned, period)
    sums = np.concatenate([folded, folded[:, : WIDTHS[-1] - 1]], axis=1)  # boxes may wrap around the end of the period
    for width in WIDTHS:
        if width > 1:
            sums = sums[:, width // 2 :] + sums[:, : -(width // 2)]
        share = width / period
        yield width, sums, float(1 / np.sqrt(len(binned) * share * (1 - share)))


def _refine_box(flat: Values, clipped: Values, known: NDArray[np.bool_], size: int, period: int) -> dict[str, float]:
    """Find the best box near a trial period at the resolution of the points, and return its features."""
    candidates = [
        (float(sums.min()) * factor, int(sums.min(axis=(1, 2)).argmin()) / (len(sums) - 1), width)
        for width, sums, factor in _box_sums(_bin(clipped[None], size), period)
    ]
    _, drift, width = min(candidates)
    times, middle = np.flatnonzero(known), size * (period + drift)
    # A period longer by middle * size / n_points drifts by one bin over the curve.
    periods = middle * (1 + size / len(flat) * np.linspace(-1, 1, N_PERIODS))
    n_phases = 2 * int(np.ceil(middle))  # half a point each
    phases = np.minimum((times / periods[:, None] % 1 * n_phases).astype(np.intp), n_phases - 1)
    indices, shape = (phases + n_phases * np.arange(N_PERIODS)[:, None]).ravel(), (N_PERIODS, n_phases)
    counts = np.bincount(indices, minlength=N_PERIODS * n_phases).reshape(shape)
    totals = np.bincount(indices, np.tile(clipped[known], N_PERIODS), N_PERIODS * n_phases).reshape(shape)
    lengths = {min(max(round(2 * width * size * factor), 2), n_phases // 3) for factor in (0.5, 0.7, 1, 1.4, 2)}
    boxes = {
        length: _signal_to_noise(_window_sums(totals, length), _window_sums(counts, length), len(times))
        for length in sorted(lengths)
    }
    length = max(boxes, key=lambda length: float(boxes[length].max()))
    row, phase = np.unravel_index(boxes[length].argmax(), boxes[length].shape)
    signal, step = boxes[length][row], periods[row] / n_phases
    distance = np.abs((np.arange(n_phases) - phase + n_phases // 2) % n_phases - n_phases // 2)
    second = signal[distance >= 2 * length].max(initial=0.0) / max(signal[phase], TINY)
    return {"flux_box_second": float(second)} | _box_features(
        flat[known], times, float(periods[row]), float(length * step), float((phase + length / 2) * step)
    )


def _window_sums(values: NDArray[np.generic], length: int) -> Values:
    """Return sums over windows of `length` elements starting at each element, cyclic along the last axis."""
    longer = np.concatenate([values, values[:, : length - 1]], axis=1, dtype=np.float64)
    sums = np.pad(np.cumsum(longer, axis=1), ((0, 0), (1, 0)))
    return np.asarray(sums[:, length:] - sums[:, :-length])


def _signal_to_noise(totals: Values, counts: Values, n: int) -> Values:
    """Return the signal-to-noise ratio of dips, 0 for boxes without values.

    It is rounded so that among boxes with the same points the first one wins, whatever the floating-point errors.
    """
    free = counts * (1 - counts / n)
    signal: Values = np.where(free > 0, -totals / np.sqrt(np.maximum(free, 0.5)), 0.0)
    return signal.round(6)


def _box_features(
    values: Values, times: NDArray[np.intp], period: float, duration: float, epoch: float
) -> dict[str, float]:
    number = np.floor((times - epoch) / period + 0.5)
    offset = np.abs(times - epoch - number * period)
    inside = offset < duration / 2
    if inside.sum() < 2:
        return {}
    variance = max(float(values[~inside].var()), TINY)
    transit = number[inside].astype(np.intp) + 1  # the first transit may begin before the curve does
    counts, sums = np.bincount(transit), np.bincount(transit, -values[inside])
    observed = counts > 0
    counts, sums = counts[observed], sums[observed]
    depth = float(sums.sum() / counts.sum())
    odd = np.flatnonzero(observed) % 2 == 1
    inner, outer = values[offset < duration / 4], values[inside & (offset >= duration / 4)]
    features = {
        "flux_box_period": period,
        "flux_box_duration": duration,
        "flux_box_duty": duration / period,
        "flux_box_depth": depth,
        "flux_box_snr": depth * float(np.sqrt(counts.sum() / variance)),
        "flux_box_transits": float(len(counts)),
        "flux_box_shape": _ratio(-_mean(outer), -_mean(inner)),
        "flux_box_triangle": _ratio(_best_triangle(values, offset, duration), depth * float(np.sqrt(counts.sum()))),
        "flux_box_wings": _ratio(-_mean(values[~inside & (offset < duration)]), depth),
        "flux_box_single": _ratio(float(sums.max()), float(sums.sum())),
    }
    if odd.any() and not odd.all():
        difference = sums[odd].sum() / counts[odd].sum() - sums[~odd].sum() / counts[~odd].sum()
        error = np.sqrt(variance * (1 / counts[odd].sum() + 1 / counts[~odd].sum()))
        features["flux_box_odd_even"] = float(abs(difference) / error)
        spread = np.sum(counts * (sums / counts - depth) ** 2) / (len(counts) - 1)
        features["flux_box_spread"] = float(spread / variance)
    return features


def _best_triangle(values: Values, offset: Values, duration: float) -> float:
    """Return the signal-to-noise ratio, in units of the noise, of the best triangular dip, as of a grazing eclipse."""
    shapes = [np.clip(1 - 2 * offset / (width * duration), 0, 1) for width in (1, 1.5, 2, 3)]
    return max(float(-np.sum(shape * values) / max(np.sqrt(np.sum(shape**2)), TINY)) for shape in shapes)


def _mean(values: Values) -> float:
    return float(values.mean()) if len(values) else 0.0


def _ratio(part: float, whole: float) -> float:
    """Return a ratio of depths, clipped to ±10 because a tiny depth makes it noise; 0 if there is no dip."""
    return float(np.clip(part / whole, -10, 10)) if whole > TINY else 0.0

"""The search for box-shaped periodic dips in flat light curves, such as the transits of a planet.

The box is that of least squares (Kovács, Zucker & Mazeh 2002, *A box-fitting algorithm in the search for periodic
transits*); curves are folded by the fast folding algorithm (Staelin 1969, *Fast folding algorithm for detection of
periodic pulse trains*). Times, periods and durations are counted in points.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
Matrix = NDArray[np.float32]

TINY = 1e-12
SHORTEST_PERIOD = 16
WIDTHS = (1, 2, 4)  # of boxes, in bins; each is two of the one before
N_PERIODS = 9  # tried around the best one of the search


def boxes_of(flat: Values, known: NDArray[np.bool_]) -> list[dict[str, float]]:
    """Search flat curves for box-shaped periodic dips.

    Parameters
    ----------
    flat : array of float64, shape (n_stars, n_points)
        Of unit variance around 0; 0 where a value is missing.
    known : array of bool, shape (n_stars, n_points)

    Returns
    -------
    list of dict, length n_stars
        The features of the best box; none for a curve that is too short or constant.
    """
    trials = list(_trials(flat.shape[1]))
    if not trials:
        return [{} for _ in flat]
    calm = _without_lone_points(flat)
    low, high = (np.zeros((len(trials), len(flat)), dtype=np.float32) for _ in range(2))
    binned, last = _binned(calm, 1), 1
    for trial, (size, period) in enumerate(trials):
        if size != last:
            binned, last = _binned(calm, size), size
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
        features.append(_of_best_box(curve, calm[row], known[row], *trials[best]))
        features[-1] |= {
            "flux_box_peak": float((spectrum[best] - np.median(spectrum)) / max(spectrum.std(), TINY)),
            "flux_box_rise": float(high[:, row].max() / spectrum[best]),
        }
    return features


def _trials(n_points: int) -> Iterator[tuple[int, int]]:
    """Give bin sizes, in points, and periods, in bins, up to half the curve.

    Each stands for the periods up to the next. A central transit of the Sun lasts period**(1/3) points of Kepler's long
    cadence (Winn 2010, equation 19); bins are about a third of that.
    """
    shortest = SHORTEST_PERIOD
    while shortest < n_points / 2:
        size = max(1, int(0.4 * shortest ** (1 / 3)))
        yield from ((size, period) for period in range(-(-shortest // size), min(2 * shortest, n_points // 2) // size))
        shortest *= 2


def _without_lone_points(flat: Values) -> Values:
    """Bring a point that is far from both its neighbours to 3 deviations from the nearer: no transit is that short."""
    padded = np.pad(flat, ((0, 0), (1, 1)), mode="edge")
    before, after = padded[:, :-2], padded[:, 2:]
    return np.asarray(np.clip(flat, np.minimum(before, after) - 3, np.maximum(before, after) + 3))


def _binned(flat: Values, size: int) -> Matrix:
    """Return means of `size` points, times the root of it: shape (n_bins, n_stars), of unit variance."""
    n_bins = flat.shape[1] // size
    sums = flat[:, : n_bins * size].reshape(len(flat), n_bins, size).sum(axis=2)
    return np.ascontiguousarray(sums.T / np.sqrt(size), dtype=np.float32)


def _folded(binned: Matrix, period: int) -> Matrix:
    """Fold curves at the periods from `period` to `period` + 1 bins, by the fast folding algorithm.

    The curve is cut into rows of one period. Two neighbouring blocks of rows, each folded at s drifts, give one at
    twice as many: with a drift of d bins from first to last row, each block drifts by d // 2, and the later one begins
    (d + 1) // 2 late.

    Returns
    -------
    array of float32, shape (n_drifts, period, n_stars)
        Sums; the period is that of the first axis's index divided by n_drifts - 1, plus `period`.
    """
    n_bins, n_stars = binned.shape
    rows = 1 << (-(-n_bins // period) - 1).bit_length()
    padded = np.zeros((rows * period, n_stars), dtype=np.float32)
    padded[:n_bins] = binned
    blocks = padded.reshape(rows, 1, period, n_stars)
    while len(blocks) > 1:
        pairs, drifts = len(blocks) // 2, blocks.shape[1]
        drift = np.arange(2 * drifts)[:, None]
        places = drift // 2 * period + (np.arange(period) + (drift + 1) // 2) % period
        late = blocks[1::2].reshape(pairs, drifts * period, n_stars).take(places.ravel(), axis=1)
        both = late.reshape(pairs, drifts, 2, period, n_stars)
        both += blocks[::2, :, None]
        blocks = both.reshape(pairs, 2 * drifts, period, n_stars)
    folded: Matrix = blocks[0]
    return folded


def _box_sums(binned: Matrix, period: int) -> Iterator[tuple[int, Matrix, float]]:
    """Give each width of boxes in bins, their sums by drift and phase, and the factor that gives them unit variance."""
    folded = _folded(binned, period)
    sums = np.concatenate([folded, folded[:, : WIDTHS[-1] - 1]], axis=1)  # boxes may reach over the end
    for width in WIDTHS:
        if width > 1:
            sums = sums[:, width // 2 :] + sums[:, : -(width // 2)]
        share = width / period
        yield width, sums, float(1 / np.sqrt(len(binned) * share * (1 - share)))


def _of_best_box(flat: Values, calm: Values, known: NDArray[np.bool_], size: int, period: int) -> dict[str, float]:
    """Find the best box near a trial period, at the points' own resolution, and describe it."""
    found = [
        (float(sums.min()) * factor, int(sums.min(axis=(1, 2)).argmin()) / (len(sums) - 1), width)
        for width, sums, factor in _box_sums(_binned(calm[None], size), period)
    ]
    _, drift, width = min(found)
    times, middle = np.flatnonzero(known), size * (period + drift)
    # A period longer by middle * size / n_points drifts by one bin over the curve.
    periods = middle * (1 + size / len(flat) * np.linspace(-1, 1, N_PERIODS))
    n_phases = 2 * int(np.ceil(middle))  # half a point each
    phases = np.minimum((times / periods[:, None] % 1 * n_phases).astype(np.intp), n_phases - 1)
    places, shape = (phases + n_phases * np.arange(N_PERIODS)[:, None]).ravel(), (N_PERIODS, n_phases)
    counts = np.bincount(places, minlength=N_PERIODS * n_phases).reshape(shape)
    totals = np.bincount(places, np.tile(calm[known], N_PERIODS), N_PERIODS * n_phases).reshape(shape)
    lengths = {min(max(round(2 * width * size * factor), 2), n_phases // 3) for factor in (0.5, 0.7, 1, 1.4, 2)}
    boxes = {
        length: _signal(_windows(totals, length), _windows(counts, length), len(times)) for length in sorted(lengths)
    }
    length = max(boxes, key=lambda length: float(boxes[length].max()))
    row, phase = np.unravel_index(boxes[length].argmax(), boxes[length].shape)
    signal, step = boxes[length][row], periods[row] / n_phases
    apart = np.abs((np.arange(n_phases) - phase + n_phases // 2) % n_phases - n_phases // 2)
    second = signal[apart >= 2 * length].max(initial=0.0) / max(signal[phase], TINY)
    return {"flux_box_second": float(second)} | _of_box(
        flat[known], times, float(periods[row]), float(length * step), float((phase + length / 2) * step)
    )


def _windows(values: NDArray[np.generic], length: int) -> Values:
    """Return sums over `length` neighbours to the right, cyclic along the last axis."""
    longer = np.concatenate([values, values[:, : length - 1]], axis=1, dtype=np.float64)
    sums = np.pad(np.cumsum(longer, axis=1), ((0, 0), (1, 0)))
    return np.asarray(sums[:, length:] - sums[:, :-length])


def _signal(totals: Values, counts: Values, n: int) -> Values:
    """Return the signal-to-noise of dips, 0 for boxes without values.

    Rounded, so that of boxes with the same points the first is the best, not the one that rounding errors favour.
    """
    free = counts * (1 - counts / n)
    signal: Values = np.where(free > 0, -totals / np.sqrt(np.maximum(free, 0.5)), 0.0)
    return signal.round(6)


def _of_box(values: Values, times: NDArray[np.intp], period: float, duration: float, epoch: float) -> dict[str, float]:
    number = np.floor((times - epoch) / period + 0.5)
    off = np.abs(times - epoch - number * period)
    inside = off < duration / 2
    if inside.sum() < 2:
        return {}
    variance = max(float(values[~inside].var()), TINY)
    which = number[inside].astype(np.intp) + 1  # the first may begin before the curve does
    counts, sums = np.bincount(which), np.bincount(which, -values[inside])
    seen = counts > 0
    counts, sums = counts[seen], sums[seen]
    depth = float(sums.sum() / counts.sum())
    odd = np.flatnonzero(seen) % 2 == 1
    features = {
        "flux_box_period": period,
        "flux_box_duration": duration,
        "flux_box_duty": duration / period,
        "flux_box_depth": depth,
        "flux_box_snr": depth * float(np.sqrt(counts.sum() / variance)),
        "flux_box_transits": float(len(counts)),
        "flux_box_shape": _ratio(-_mean(values[inside & (off >= duration / 4)]), -_mean(values[off < duration / 4])),
        "flux_box_triangle": _ratio(_triangle(values, off, duration), depth * float(np.sqrt(counts.sum()))),
        "flux_box_wings": _ratio(-_mean(values[~inside & (off < duration)]), depth),
        "flux_box_single": _ratio(float(sums.max()), float(sums.sum())),
    }
    if odd.any() and not odd.all():
        difference = sums[odd].sum() / counts[odd].sum() - sums[~odd].sum() / counts[~odd].sum()
        error = np.sqrt(variance * (1 / counts[odd].sum() + 1 / counts[~odd].sum()))
        features["flux_box_odd_even"] = float(abs(difference) / error)
        spread = np.sum(counts * (sums / counts - depth) ** 2) / (len(counts) - 1)
        features["flux_box_spread"] = float(spread / variance)
    return features


def _triangle(values: Values, off: Values, duration: float) -> float:
    """Return the signal-to-noise of the best triangular dip, as of a grazing eclipse, for points of unit variance."""
    shapes = [np.clip(1 - 2 * off / (width * duration), 0, 1) for width in (1, 1.5, 2, 3)]
    return max(float(-np.sum(shape * values) / max(np.sqrt(np.sum(shape**2)), TINY)) for shape in shapes)


def _mean(values: Values) -> float:
    return float(values.mean()) if len(values) else 0.0


def _ratio(part: float, whole: float) -> float:
    """Return a ratio of depths, 0 where there is no dip, and at most 10 in size: noise over nearly nothing."""
    return float(np.clip(part / whole, -10, 10)) if whole > TINY else 0.0

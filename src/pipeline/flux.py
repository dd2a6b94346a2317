"""Features of light curves: statistics, periodogram and a search for transits, from columns FLUX.1 to FLUX.n.

A curve is the brightness of one star at evenly spaced times. Times, periods and durations are counted in points. A
row's features depend on that row alone and are the same to the last bit in a batch of any size: what is computed for
many stars at once is elementwise along the axis of stars, and the rest star by star.
"""

import re
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

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
TINY = 1e-12
SHORTEST_PERIOD = 16
WIDTHS = (1, 2, 4)  # of boxes, in bins; each is two of the one before
N_PERIODS = 9  # tried around the best one of the search
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
        boxes = _boxes(np.array([flat for flat, _ in curves]), known)
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


def _boxes(flat: Values, known: NDArray[np.bool_]) -> list[dict[str, float]]:
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

"""Compare the distributions of recent rows and predictions with the reference profile of their model.

Numbers are compared by the two-sample Kolmogorov-Smirnov test, categories and classes by the chi-squared test of
homogeneity, and shares of missing values by Fisher's exact test, as these are often small. In a large window even an
irrelevant difference is significant, and in a small one a large difference can be chance. So an alarm requires both a
small p-value and a large population stability index (PSI).
"""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.features.columns import FLOAT_SUFFIX, overflow_to_nan
from pipeline.service.drift.window import Rows
from pipeline.service.models.served import ServedModel
from pipeline.train.reference_profile import bins_of, round_to_digits

MIN_SHARE = 1e-4  # minimum share in the PSI, which would be infinite for a share of 0
MIN_EXPECTED_ROWS = 5  # rows of a category in the window, for the chi-squared approximation; rarer ones are pooled
FEATURE_ROWS = 200  # newest rows to compute monitored features of; those of a light curve take milliseconds
PAUSE = 0.001  # seconds between two columns, to let requests through

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Comparison:
    """The comparison of recent values with their reference distribution.

    Attributes
    ----------
    column : str
    kind : str
        number, text, boolean or date; for a monitored feature the name of its kind, such as light_curve.
    test : str
        The test of the values that are not missing: ks_2samp or chi2_contingency.
    statistic, p_value : float, optional
        None if either side has no values.
    psi : float
        Over bins or categories; 0 if either side has no values.
    missing_share, reference_missing_share : float
    missing_p_value, missing_psi : float, optional
        None if values are never missing.
    """

    column: str
    kind: str
    test: str
    statistic: float | None
    p_value: float | None
    psi: float
    missing_share: float
    reference_missing_share: float
    missing_p_value: float | None
    missing_psi: float | None

    @property
    def n_tests(self) -> int:
        """The number of tests, including those without a result."""
        return 1 if self.missing_p_value is None else 2

    def alarms(self, alpha: float, psi_limit: float) -> list[str]:
        """Return the texts of the alarms.

        Parameters
        ----------
        alpha : float
            An alarm requires a p-value below it.
        psi_limit : float
            An alarm requires a PSI above it.
        """
        alarms = []
        if self.p_value is not None and self.p_value < alpha and self.psi > psi_limit:
            alarms.append(
                f"{self.column}: distribution differs from training (PSI {self.psi:.3g}, p {self.p_value:.2g})"
            )
        p_value, psi = self.missing_p_value, self.missing_psi
        if p_value is not None and psi is not None and p_value < alpha and psi > psi_limit:
            alarms.append(
                f"{self.column}: {self.missing_share:.1%} missing, {self.reference_missing_share:.1%} in training"
            )
        return alarms

    def to_json(self, alarm: bool) -> dict[str, Any]:
        """Return the comparison as JSON values."""
        return asdict(self) | {"alarm": alarm}


class ProfileComparison:
    """A comparison of rows with a model's reference profile; it caches the monitored features of the newest rows."""

    def __init__(self, model: ServedModel, profile: Mapping[str, Any]) -> None:
        self._profile = profile
        self._transformer = model.raw.transformer
        self._monitored = {
            name: (str(part.drift_name), profile[part.key][name])
            for part, names in self._transformer.drift_features()
            for name in names
        }
        self._computed: dict[str, Values] = {}

    def columns(self, rows: Rows) -> list[Comparison]:
        """Compare the raw columns in the order of the profile, then the features monitored in place of raw columns."""
        comparisons = []
        for name, reference in self._profile["columns"].items():
            values = rows.column(name)
            if reference["kind"] == "date":
                values = self._readable(name, values)
            comparisons.append(
                compare_numbers(name, _as_float(values), reference)
                if reference["kind"] == "number"
                else compare_categories(name, values, reference)
            )
            time.sleep(PAUSE)
        if self._monitored:
            features = dict(zip(self._monitored, self._features(rows.newest(FEATURE_ROWS)).T, strict=True))
            for name, (kind, reference) in self._monitored.items():
                comparisons.append(compare_numbers(name, features[name], reference, kind))
                time.sleep(PAUSE)
        return comparisons

    def prediction(self, rows: Rows) -> Comparison:
        """Compare the predicted numbers or classes."""
        reference = self._profile["prediction"]
        if reference["kind"] == "number":
            return compare_numbers("prediction", _as_in_profile(rows.predictions), reference, is_output=True)
        return compare_categories("prediction", rows.predictions, reference, is_output=True)

    def confidence(self, rows: Rows) -> Comparison | None:
        """Compare the confidences; return None for a regression."""
        reference, values = self._profile["confidence"], rows.confidences
        if values is None:
            return None
        return compare_numbers("confidence", _as_in_profile(values), reference, is_output=True)

    def _readable(self, column: str, values: Sequence[Any]) -> list[bool | None]:
        """Return None for each value that is missing or not in the column's format."""
        features = self._transformer.transform_values({column: values}, [self._transformer.growing_columns[column]])
        return [None if missing else True for missing in np.isnan(features[:, 0]).tolist()]

    def _features(self, rows: Rows) -> Values:
        new = [index for index, id_ in enumerate(rows.ids) if id_ not in self._computed]
        if new:
            values = {name: rows.column(name) for name in self._transformer.kinds}
            columns = {name: [column[index] for index in new] for name, column in values.items()}
            features = self._transformer.transform_values(columns, list(self._monitored))
            self._computed |= {rows.ids[index]: row for index, row in zip(new, features, strict=True)}
        self._computed = {id_: self._computed[id_] for id_ in rows.ids}
        return np.array(list(self._computed.values()), dtype=np.float64)


def compare_numbers(
    column: str, values: Values, reference: Mapping[str, Any], kind: str = "number", is_output: bool = False
) -> Comparison:
    """Compare numbers (NaN for missing values) with a profile returned by `profile_of_numbers`."""
    from scipy.stats import ks_2samp

    present, sample = values[~np.isnan(values)], np.array(reference["sample"], dtype=np.float64)
    statistic, p_value, psi_value = None, None, 0.0
    if len(present) and len(sample):
        # The sample is smaller than the training set, so p-values are too large. An exact p-value would take seconds.
        result = ks_2samp(sample, present, method="asymp")
        statistic, p_value = float(result.statistic), float(result.pvalue)
        bins = bins_of(present, np.array(reference["edges"]))
        psi_value = psi(reference["shares"], np.bincount(bins, minlength=len(reference["shares"])) / len(present))
    never_missing = is_output or kind != "number"  # monitored features are never missing
    missing = _missing(len(values) - len(present), len(values), reference, never_missing)
    return Comparison(column, kind, "ks_2samp", statistic, p_value, psi_value, *missing)


def compare_categories(
    column: str, values: Sequence[Any], reference: Mapping[str, Any], is_output: bool = False
) -> Comparison:
    """Compare text, booleans or classes (None if missing) with a profile returned by `profile_of_categories`.

    Unseen categories and those expected fewer than `FEWEST_EXPECTED` times in a window of this size are pooled.
    """
    counts, texts, shares, kind = Counter(values), Counter[str](), reference["shares"], reference["kind"]
    n_missing = counts.pop(None, 0)
    for value, count in counts.items():
        text = str(value).lower() if kind == "boolean" else str(value)
        texts[text if text in shares else text.removesuffix(FLOAT_SUFFIX)] += count  # as the feature transformer does
    n_present, n_reference = texts.total(), round(reference["n"] * (1 - reference["missing_share"]))
    statistic, p_value, psi_value = None, None, 0.0
    if n_present and n_reference:
        frequent = {name: share for name, share in shares.items() if share * n_present >= MIN_EXPECTED_ROWS}
        expected = [*frequent.values(), max(1 - sum(frequent.values()), 0.0)]
        observed = [texts[name] for name in frequent]
        observed.append(n_present - sum(observed))
        statistic, p_value = _chi2(np.array([np.multiply(expected, n_reference).round(), observed]))
        psi_value = psi(expected, np.divide(observed, n_present))
    missing = _missing(n_missing, len(values), reference, is_output)
    return Comparison(column, kind, "chi2_contingency", statistic, p_value, psi_value, *missing)


def psi(expected: Sequence[float] | Values, observed: Sequence[float] | Values) -> float:
    """Return the population stability index, the symmetric relative entropy: the sum of (q - p) * ln(q / p).

    Parameters
    ----------
    expected, observed : arrays of float, shape (n_bins,)
        Shares; those below `MIN_SHARE` are raised to it, then both are normalized.

    Examples
    --------
    >>> round(psi([0.5, 0.5], [0.5, 0.5]), 3), round(psi([0.5, 0.5], [0.9, 0.1]), 3)
    (0.0, 0.879)
    """
    from scipy.stats import entropy

    p, q = np.maximum(expected, MIN_SHARE), np.maximum(observed, MIN_SHARE)
    return float(entropy(p, q) + entropy(q, p))


def _missing(
    n_missing: int, n_rows: int, reference: Mapping[str, Any], never_missing: bool
) -> tuple[float, float, float | None, float | None]:
    """Return missing share, reference missing share, p-value and PSI; the last two are None if `never_missing`."""
    share, reference_share = n_missing / n_rows, reference["missing_share"]
    if never_missing:
        return share, reference_share, None, None
    n_reference, missing = reference["n"], round(reference_share * reference["n"])
    if n_missing == missing == 0:
        return share, reference_share, 1.0, 0.0
    from scipy.stats import fisher_exact

    result = fisher_exact([[missing, n_reference - missing], [n_missing, n_rows - n_missing]])
    return share, reference_share, float(result.pvalue), psi([reference_share, 1 - reference_share], [share, 1 - share])


def _chi2(counts: NDArray[Any]) -> tuple[float, float]:
    """Return statistic and p-value of the test that two rows of counts have equal shares."""
    from scipy.stats import chi2_contingency

    counts = counts[:, counts.sum(axis=0) > 0]
    if counts.shape[1] < 2:
        return 0.0, 1.0
    result = chi2_contingency(counts)
    return float(result.statistic), float(result.pvalue)


def _as_float(values: Sequence[Any]) -> Values:
    """Return numbers as the model sees them, with NaN for missing and too large values."""
    return overflow_to_nan(np.array(values, dtype=np.float64))


def _as_in_profile(values: Sequence[float]) -> Values:
    """Return predicted numbers rounded as in the reference profile."""
    return round_to_digits(np.array(values, dtype=np.float64))

"""Whether recent rows, and the answers to them, are distributed as the reference profile of their model says.

Numbers are compared by the two-sample Kolmogorov-Smirnov test, categories and labels by the chi-squared test of
homogeneity, missing shares by Fisher's exact test, as few values are missing mostly. In a large window what does not
matter is significant, and a small one seems to differ by chance, so an alarm needs both: a p-value that is small, and a
population stability index (PSI) that is large.
"""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.features.columns import SUFFIX, without_too_large
from pipeline.service.drift.window import Rows
from pipeline.service.models.served import ServedModel
from pipeline.train.reference_profile import bins_of, in_few_digits

FLOOR = 1e-4  # of shares in the PSI, which of a share of 0 would be infinite
FEWEST_EXPECTED = 5  # in the window, of a category that is counted apart, for the chi-squared distribution to hold
FEATURE_ROWS = 200  # newest rows of which watched features are judged: those of light curves take milliseconds each
PAUSE = 0.001  # seconds between two columns, in which requests are answered

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Comparison:
    """How values compare with a reference.

    Attributes
    ----------
    column : str
    kind : str
        number, text or boolean; of a watched feature what its kind is called, such as light_curve.
    test : str
        ks_2samp or chi2_contingency, of the values that are present.
    statistic, p_value : float, optional
        None where either side has no value.
    psi : float
        Of the bins or categories; 0 where either side has no value.
    missing_share, reference_missing_share : float
    missing_p_value, missing_psi : float, optional
        None where values are never missing.
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
        """How many tests it makes, with a result or without."""
        return 1 if self.missing_p_value is None else 2

    def alarms(self, alpha: float, psi_limit: float) -> list[str]:
        """Return in words what is beyond the limits.

        Parameters
        ----------
        alpha : float
            That a p-value must be below.
        psi_limit : float
            That the PSI must be above.
        """
        found = []
        if self.p_value is not None and self.p_value < alpha and self.psi > psi_limit:
            found.append(f"{self.column}: not as in training (PSI {self.psi:.3g}, p {self.p_value:.2g})")
        share, psi = self.missing_p_value, self.missing_psi
        if share is not None and psi is not None and share < alpha and psi > psi_limit:
            found.append(
                f"{self.column}: missing in {self.missing_share:.1%}, in training {self.reference_missing_share:.1%}"
            )
        return found

    def told(self, alarm: bool) -> dict[str, Any]:
        """Return it as values for JSON."""
        return asdict(self) | {"alarm": alarm}


class Comparer:
    """Compares rows of a model with its reference profile; it remembers the watched features of the newest rows."""

    def __init__(self, model: ServedModel, profile: Mapping[str, Any]) -> None:
        self._profile = profile
        self._transformer = model.raw.transformer
        self._watched = {
            name: (str(part.drift_name), profile[part.key][name])
            for part, names in self._transformer.watched()
            for name in names
        }
        self._computed: dict[str, Values] = {}

    def columns(self, rows: Rows) -> list[Comparison]:
        """Compare the raw columns, in the profile's order, and the features that are watched in place of some."""
        found = []
        for name, reference in self._profile["columns"].items():
            values = rows.column(name)
            found.append(
                of_numbers(name, _numbers(values), reference)
                if reference["kind"] == "number"
                else of_categories(name, values, reference)
            )
            time.sleep(PAUSE)
        if self._watched:
            features = dict(zip(self._watched, self._features(rows.newest(FEATURE_ROWS)).T, strict=True))
            for name, (kind, reference) in self._watched.items():
                found.append(of_numbers(name, features[name], reference, kind))
                time.sleep(PAUSE)
        return found

    def prediction(self, rows: Rows) -> Comparison:
        """Compare the predicted numbers, or labels."""
        reference = self._profile["prediction"]
        if reference["kind"] == "number":
            return of_numbers("prediction", _answered(rows.predictions), reference, is_output=True)
        return of_categories("prediction", rows.predictions, reference, is_output=True)

    def confidence(self, rows: Rows) -> Comparison | None:
        """Compare the confidences; None of a regression."""
        reference, values = self._profile["confidence"], rows.confidences
        return None if values is None else of_numbers("confidence", _answered(values), reference, is_output=True)

    def _features(self, rows: Rows) -> Values:
        new = [place for place, name in enumerate(rows.ids) if name not in self._computed]
        if new:
            values = {name: rows.column(name) for name in self._transformer.kinds}
            columns = {name: [column[place] for place in new] for name, column in values.items()}
            features = self._transformer.of_values(columns, list(self._watched))
            self._computed |= {rows.ids[place]: row for place, row in zip(new, features, strict=True)}
        self._computed = {name: self._computed[name] for name in rows.ids}
        return np.array(list(self._computed.values()), dtype=np.float64)


def of_numbers(
    column: str, values: Values, reference: Mapping[str, Any], kind: str = "number", is_output: bool = False
) -> Comparison:
    """Compare numbers, NaN where one is missing, with a profile of `profile_of_numbers`."""
    from scipy.stats import ks_2samp

    present, sample = values[~np.isnan(values)], np.array(reference["sample"], dtype=np.float64)
    statistic, p_value, found = None, None, 0.0
    if len(present) and len(sample):
        # As if the training rows were only as many as the sample: so it is on the safe side. The exact distribution
        # would take seconds.
        result = ks_2samp(sample, present, method="asymp")
        statistic, p_value = float(result.statistic), float(result.pvalue)
        bins = bins_of(present, np.array(reference["edges"]))
        found = psi(reference["shares"], np.bincount(bins, minlength=len(reference["shares"])) / len(present))
    never_missing = is_output or kind != "number"  # watched features never miss
    missing = _missing(len(values) - len(present), len(values), reference, never_missing)
    return Comparison(column, kind, "ks_2samp", statistic, p_value, found, *missing)


def of_categories(
    column: str, values: Sequence[Any], reference: Mapping[str, Any], is_output: bool = False
) -> Comparison:
    """Compare texts, truth values or labels, None where one is missing, with a profile of `profile_of_categories`.

    Categories that a window of this size would hold fewer than `FEWEST_EXPECTED` times, and unseen ones, count as one.
    """
    counts, texts, known, kind = Counter(values), Counter[str](), reference["shares"], reference["kind"]
    n_missing = counts.pop(None, 0)
    for value, count in counts.items():
        text = str(value).lower() if kind == "boolean" else str(value)
        texts[text if text in known else text.removesuffix(SUFFIX)] += count  # as the feature transformer reads it
    n_present, n_reference = texts.total(), round(reference["n"] * (1 - reference["missing_share"]))
    statistic, p_value, found = None, None, 0.0
    if n_present and n_reference:
        apart = {name: share for name, share in known.items() if share * n_present >= FEWEST_EXPECTED}
        expected = [*apart.values(), max(1 - sum(apart.values()), 0.0)]
        seen = [texts[name] for name in apart]
        seen.append(n_present - sum(seen))
        statistic, p_value = _chi2(np.array([np.multiply(expected, n_reference).round(), seen]))
        found = psi(expected, np.divide(seen, n_present))
    missing = _missing(n_missing, len(values), reference, is_output)
    return Comparison(column, kind, "chi2_contingency", statistic, p_value, found, *missing)


def psi(expected: Sequence[float] | Values, found: Sequence[float] | Values) -> float:
    """Return the population stability index: the sum of (q - p) * ln(q / p), the relative entropy both ways.

    Parameters
    ----------
    expected, found : arrays of float, shape (n_bins,)
        Shares; those below `FLOOR` are raised to it.
    """
    from scipy.stats import entropy

    p, q = np.maximum(expected, FLOOR), np.maximum(found, FLOOR)
    return float(entropy(p, q) + entropy(q, p))


def _missing(
    n_missing: int, n_rows: int, reference: Mapping[str, Any], never: bool
) -> tuple[float, float, float | None, float | None]:
    """Return the missing share, the reference's, and p-value and PSI of the two; None where values never miss."""
    share, of_reference = n_missing / n_rows, reference["missing_share"]
    if never:
        return share, of_reference, None, None
    n_reference, missing = reference["n"], round(of_reference * reference["n"])
    if n_missing == missing == 0:
        return share, of_reference, 1.0, 0.0
    from scipy.stats import fisher_exact

    result = fisher_exact([[missing, n_reference - missing], [n_missing, n_rows - n_missing]])
    return share, of_reference, float(result.pvalue), psi([of_reference, 1 - of_reference], [share, 1 - share])


def _chi2(counts: NDArray[Any]) -> tuple[float, float]:
    """Return statistic and p-value of whether two rows of counts have equal shares."""
    from scipy.stats import chi2_contingency

    counts = counts[:, counts.sum(axis=0) > 0]
    if counts.shape[1] < 2:
        return 0.0, 1.0
    result = chi2_contingency(counts)
    return float(result.statistic), float(result.pvalue)


def _numbers(values: Sequence[Any]) -> Values:
    """Return numbers as the model sees them: NaN where one is missing or too large for it."""
    return without_too_large(np.array(values, dtype=np.float64))


def _answered(values: Sequence[float]) -> Values:
    """Return numbers that a model answered as the reference profile has them."""
    return in_few_digits(np.array(values, dtype=np.float64))

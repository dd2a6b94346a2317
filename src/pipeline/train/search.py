"""Randomised search for XGBoost parameters, each candidate cross-validated and recorded as a nested run."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.params import Range, SearchParams
from pipeline.train.cross_validation import CrossValidation, Fold, XGBoostParams, cross_validate


@dataclass(frozen=True)
class Candidate:
    """Sampled parameters and their cross-validation.

    Attributes
    ----------
    number : int
        From 1, in the order they were tried.
    sampled : dict
        The parameters that the search varies.
    scores : CrossValidation
    """

    number: int
    sampled: XGBoostParams
    scores: CrossValidation


def sample(search: SearchParams, seed: int) -> list[XGBoostParams]:
    """Draw the candidates of a search, distinct where all parameters are choices.

    Returns
    -------
    list of dict
        ``n_candidates`` of them, or all there are when the choices have fewer combinations.
    """
    from scipy import stats
    from sklearn.model_selection import ParameterSampler

    def distribution(values: Range | list[int | float | str]) -> Any:
        if not isinstance(values, Range):
            return values
        low, high = values.low, values.high
        if isinstance(low, int) and isinstance(high, int):
            return stats.randint(low, high + 1)
        return stats.loguniform(low, high) if values.log else stats.uniform(low, high - low)

    n_candidates = search.n_candidates
    choices = [len(values) for values in search.space.values() if isinstance(values, list)]
    if len(choices) == len(search.space):
        n_candidates = min(n_candidates, math.prod(choices))
    space = {name: distribution(values) for name, values in sorted(search.space.items())}
    drawn = ParameterSampler(space, n_candidates, random_state=seed)
    return [{name: value.item() if hasattr(value, "item") else value for name, value in one.items()} for one in drawn]


def try_candidates(
    drawn: Sequence[XGBoostParams],
    search: SearchParams,
    fixed: XGBoostParams,
    folds: Sequence[Fold],
    record: Callable[[Candidate], None],
) -> Iterator[Candidate]:
    """Cross-validate each candidate in turn, with early stopping on its validation folds.

    Parameters
    ----------
    drawn : sequence of dict
        From `sample`.
    search : SearchParams
    fixed : dict
        Parameters all candidates share.
    folds : sequence of Fold
    record : callable
        Called with each candidate once it is scored.
    """
    for number, sampled in enumerate(drawn, start=1):
        scores = cross_validate({**fixed, **sampled}, folds, search.max_rounds, search.early_stopping_rounds)
        candidate = Candidate(number, sampled, scores)
        record(candidate)
        yield candidate

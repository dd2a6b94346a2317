"""The search for XGBoost parameters: candidates, a few at a time, and what the best of them becomes.

`tpe` chooses the shape of the trees at a high learning rate and few rounds, drops a candidate whose errors on the
first fold are worse than the best one's, and trades the learning rate of the winner for more rounds. `random` draws
blindly and scores every candidate on all folds.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from pipeline.params import Range, SearchParams
from pipeline.train.cross_validation import Fold, XGBoostParams
from pipeline.train.scoring import Candidate, EarlyStopping, Race
from pipeline.train.search_space import distributions, n_candidates, shape_learning_rate, study_of

# With `tpe` the winner's learning rate is lowered until so many times the rounds at which shapes are compared, in
# inverse proportion to the rate, fill `max_rounds`: about where its best round is.
SLACK = 2
# Candidates are drawn and scored so many at a time, on any number of threads.
BATCH = 4


def search(
    params: SearchParams,
    fixed: XGBoostParams,
    folds: Sequence[Fold],
    seed: int,
    record: Callable[[Candidate], None],
) -> Iterator[Candidate]:
    """Try candidates.

    Parameters
    ----------
    params : SearchParams
    fixed : dict
        Parameters all candidates share, with ``nthread``: threads in all.
    folds : sequence of Fold
    seed : int
        Of the sampler. The same seed gives the same candidates and scores on any machine, unless
        ``time_budget`` ends the search.
    record : callable
        Called with each candidate once it is scored.

    Yields
    ------
    Candidate
        At most ``n_candidates``, all different.
    """
    study, space = study_of(params, seed), distributions(params)
    scoring = (Race if params.sampler == "tpe" else EarlyStopping)(params, fixed, folds)
    told, asked, started = dict[tuple[Any, ...], float](), 0, time.monotonic()
    total = n_candidates(params)
    while len(told) < total and asked < 10 * total:
        if told and params.time_budget is not None and time.monotonic() - started > params.time_budget:
            return
        trials = [study.ask(space) for _ in range(min(BATCH, total - len(told)))]
        asked += len(trials)
        keys = [tuple(sorted(trial.params.items())) for trial in trials]
        new = [key for key in dict.fromkeys(keys) if key not in told]
        for key, (candidate, score) in zip(
            new, scoring.score({len(told) + place: dict(key) for place, key in enumerate(new, start=1)}), strict=True
        ):
            told[key] = score
            record(candidate)
            yield candidate
        for trial, key in zip(trials, keys, strict=True):
            study.tell(trial, told[key])


def final_parameters(params: SearchParams, best: Candidate) -> tuple[XGBoostParams, int]:
    """Return the parameters the best candidate stands for, and the rounds among which its best one is.

    With the sampler `tpe` the learning rate is lowered as far as the space and ``max_rounds`` allow: many small
    steps give a better model than few large ones.
    """
    if params.sampler == "random":
        return best.sampled, max(best.fold_rounds)
    values, high = params.space.get("learning_rate"), shape_learning_rate(params)
    if values is None:
        return best.sampled, params.max_rounds
    lowest = high * SLACK * max(best.fold_rounds) / params.max_rounds
    if isinstance(values, Range):
        learning_rate = min(max(lowest, values.low), high)
    else:
        learning_rate = min((float(value) for value in values if lowest <= float(value) <= high), default=high)
    return {**best.sampled, "learning_rate": learning_rate}, params.max_rounds

"""Search hyperparameters: sample candidates in batches, score them, and report the scores to the sampler."""

import time
from collections.abc import Callable, Iterator
from typing import Any

from pipeline.learn.candidate import Candidate, Sampled
from pipeline.learn.learner import Learner
from pipeline.learn.search_params import SearchParams
from pipeline.learn.search_space import count_combinations, create_study, default_candidates, distributions

MOST_CANDIDATES = 1000  # of a search that a time budget ends
BATCH = 4  # candidates sampled at a time; constant, so that results do not depend on the number of threads


def count_candidates(params: SearchParams, learner: Learner, tuned: Sampled | None = None) -> int:
    """Return the number of candidates of a search; it is half if the search continues from `tuned`."""
    default = MOST_CANDIDATES if params.time_budget else default_candidates(learner.n_rows)
    number = params.n_candidates or default
    number = max(1, number // 2) if tuned else number
    return int(min(number, count_combinations(learner.sampled_space)))


def search(
    params: SearchParams,
    learner: Learner,
    seed: int,
    record: Callable[[Candidate], None],
    tuned: Sampled | None = None,
) -> Iterator[Candidate]:
    """Sample candidates, score them, and yield them.

    Parameters
    ----------
    params : SearchParams
    learner : Learner
        Defines the space to sample from, and scores the candidates.
    seed : int
        Random seed of the sampler. The same seed gives the same candidates and scores on any machine, unless
        ``time_budget`` ends the search.
    record : callable
        Called with each candidate after it is scored.
    tuned : dict, optional
        The hyperparameters that an earlier search of the space chose, which this one continues from.

    Yields
    ------
    Candidate
        At most `count_candidates`, without duplicates.
    """
    space = learner.sampled_space
    starts = [*([{name: tuned[name] for name in space}] if tuned else []), *learner.starts]
    study, search_distributions = create_study(params.sampler, space, seed, starts), distributions(space)
    scoring = learner.scoring()
    observed_scores, n_trials, started = dict[tuple[Any, ...], float](), 0, time.monotonic()
    total = count_candidates(params, learner, tuned)
    while len(observed_scores) < total and n_trials < 10 * total:  # the sampler may repeat candidates
        if observed_scores and params.time_budget is not None and time.monotonic() - started > params.time_budget:
            return
        trials = [study.ask(search_distributions) for _ in range(min(BATCH, total - len(observed_scores)))]
        n_trials += len(trials)
        keys = [tuple(sorted(trial.params.items())) for trial in trials]
        new_keys = [key for key in dict.fromkeys(keys) if key not in observed_scores]
        batch = {number: dict(key) for number, key in enumerate(new_keys, start=len(observed_scores) + 1)}
        for key, (candidate, score) in zip(new_keys, scoring.score(batch), strict=True):
            observed_scores[key] = score
            record(candidate)
            yield candidate
        for trial, key in zip(trials, keys, strict=True):
            study.tell(trial, observed_scores[key])

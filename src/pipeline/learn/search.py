"""The search for parameters: candidates are drawn and scored, a few at a time."""

import time
from collections.abc import Callable, Iterator
from typing import Any

from pipeline.learn.candidate import Candidate
from pipeline.learn.learner import Learner
from pipeline.learn.search_params import SearchParams
from pipeline.learn.search_space import distributions, n_candidates, study_of

# Candidates are drawn and scored so many at a time, on any number of threads.
BATCH = 4


def search(
    params: SearchParams, learner: Learner, seed: int, record: Callable[[Candidate], None]
) -> Iterator[Candidate]:
    """Try candidates.

    Parameters
    ----------
    params : SearchParams
    learner : Learner
        Says what is drawn, and scores it.
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
    space = learner.sampled_space
    study, drawn, scoring = study_of(params, space, seed), distributions(space), learner.scoring()
    told, asked, started = dict[tuple[Any, ...], float](), 0, time.monotonic()
    total = n_candidates(params, space)
    while len(told) < total and asked < 10 * total:
        if told and params.time_budget is not None and time.monotonic() - started > params.time_budget:
            return
        trials = [study.ask(drawn) for _ in range(min(BATCH, total - len(told)))]
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

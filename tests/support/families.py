"""Small fits of every model family."""

from typing import Any

import pytest
from sklearn.preprocessing import StandardScaler

from pipeline.learn.families import family, is_installed, names
from pipeline.learn.learner import FoldTables, Learner, Problem
from pipeline.learn.search_params import SearchParams
from pipeline.learn.task import Task

FAMILY_CASES = [
    pytest.param(name, marks=pytest.mark.skipif(not is_installed(name), reason=f"{name} is not installed"))
    for name in names()
]


def make_learner(name: str, task: Task, fold: FoldTables, **fixed: Any) -> Learner:
    """Return the learner of a model family for one fold."""
    chosen = family(name)
    return chosen.learner(
        Problem(
            task=task,
            fixed={**chosen.defaults, **fixed},
            space={},
            search=SearchParams(),
            seed=7,
            n_jobs=2,
            scaler=StandardScaler().fit(fold[0]),
            folds=[fold],
        )
    )


def fit_model(name: str, task: Task, fold: FoldTables, rounds: int, **fixed: Any) -> Any:
    """Return a model of the family, fitted on the training rows of the fold."""
    family_learner = make_learner(name, task, fold, **fixed)
    model = family_learner.estimator({}, rounds, fold[1])
    family_learner.fit(model, *fold[:2])
    return model

"""The section ``train.search`` of params.yaml."""

from typing import Literal

from pydantic import Field

from pipeline.learn.space import Space
from pipeline.support.section import Section


class SearchParams(Section):
    """Settings of the hyperparameter search."""

    sampler: Literal["tpe", "random"] = Field(
        default="tpe",
        description="tpe: sample near good candidates, and drop bad ones after one fold. random: sample at random, and "
        "score each candidate on all folds.",
    )
    n_candidates: int | None = Field(
        default=None,
        ge=1,
        le=100_000,
        description="Number of candidates in the search of exp1_tuned; exp3_tuned_selected continues it with half as "
        "many. null: 32 below 2,000 rows, 24 below 20,000, 16 below 200,000, else 8; with `time_budget`, as many as "
        "fit.",
    )
    max_rounds: int = Field(
        default=3000,
        ge=1,
        le=100_000,
        description="Maximum number of boosting rounds. Cross-validation stops earlier if more bring no "
        "improvement, and at fewer rounds where one takes long.",
    )
    early_stopping_rounds: int = Field(
        default=30,
        ge=1,
        le=100_000,
        description="Rounds without improvement after which boosting stops; only for the sampler random.",
    )
    max_rows: int = Field(
        default=50_000,
        ge=100,
        le=1_000_000_000,
        description="Maximum number of training rows in search and cross-validation; the final fit uses all rows.",
    )
    time_budget: float | None = Field(
        default=None,
        gt=0,
        description="Seconds after which no new candidate starts; null: no limit. With a limit, the result depends on "
        "the speed of the machine.",
    )
    space: dict[str, Space] = Field(
        default={}, description="Hyperparameters to search, for each family; others use the family's default space."
    )

"""The section ``train.search`` of params.yaml."""

from typing import Literal

from pydantic import Field

from pipeline.learn.space import Space
from pipeline.support.section import Section


class SearchParams(Section):
    """A search: which sampler, how many candidates, from which space, on how many rows, stopped how."""

    sampler: Literal["tpe", "random"] = "tpe"
    n_candidates: int = Field(default=16, ge=1, le=100_000)
    max_rounds: int = Field(default=400, ge=1, le=100_000)
    early_stopping_rounds: int = Field(default=30, ge=1, le=100_000)
    max_rows: int = Field(default=50_000, ge=100, le=1_000_000_000)
    time_budget: float | None = Field(default=None, gt=0)
    space: dict[str, Space] = Field(default={})

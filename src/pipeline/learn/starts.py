"""Hyperparameters of XGBoost that are good on different tables, with which a search of the default space starts."""

from pipeline.learn.candidate import Sampled
from pipeline.learn.space import Choice, Range, Space

NAMES = ("max_leaves", "min_child_weight", "subsample", "colsample_bytree", "reg_lambda")
STARTS: list[Sampled] = [
    dict(zip(NAMES, values, strict=True))
    for values in (
        (31, 3.0, 0.8, 0.7, 1.0),
        (8, 5.0, 0.7, 0.5, 3.0),
        (64, 1.0, 0.9, 0.8, 0.3),
        (16, 0.3, 0.8, 0.6, 0.3),
        (24, 10.0, 0.6, 0.4, 10.0),
        (12, 1.0, 0.9, 0.9, 0.1),
    )
]


def starts_in(space: Space) -> list[Sampled]:
    """Return the `STARTS` that a space includes, each with another of its objectives; none if it has other names."""
    objectives = space.get("objective", [])
    if space.keys() - {"objective"} != set(NAMES) or isinstance(objectives, Range):
        return []
    return [
        {**start, **({"objective": objectives[number % len(objectives)]} if objectives else {})}
        for number, start in enumerate(STARTS)
        if all(_includes(space[name], value) for name, value in start.items())
    ]


def _includes(values: Range | list[Choice], value: float) -> bool:
    return values.low <= value <= values.high if isinstance(values, Range) else value in values

"""Spaces of a search: the values each parameter may take, and what a model family allows of them."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, Self

from pydantic import Discriminator, Field, Tag, model_validator

from pipeline.support.section import Section

# Of a net: 10 million weights are 320 MB of 64-bit numbers with what Adam keeps of each.
MOST_LAYERS, WIDEST_LAYER, MOST_WEIGHTS = 20, 10_000, 10_000_000
LAYERS_IN_WORDS = (
    f"it takes a list of whole numbers above 0, at most {MOST_LAYERS} of at most {WIDEST_LAYER:,}, with at most "
    f"{MOST_WEIGHTS:,} weights between them (the products of neighbouring ones, added up)"
)


class Range(Section):
    """Values from `low` to `high`: whole numbers when both are whole, evenly in logarithm when `log`."""

    low: int | float
    high: int | float
    log: bool = False

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if not self.low < self.high:
            raise ValueError("`low` must be below `high`")
        if self.log and self.low <= 0:
            raise ValueError("`log` needs `low` above 0")
        if self.log and isinstance(self.low, int) and isinstance(self.high, int):
            raise ValueError("`log` is for fractions: write `low` or `high` with a decimal point")
        return self


Choice = int | float | str | None
Choices = Annotated[list[Choice], Field(min_length=1)]
RangeOrChoices = Annotated[
    Annotated[Range, Tag("range")] | Annotated[Choices, Tag("choices")],
    Discriminator(
        lambda values: "range" if isinstance(values, dict | Range) else "choices" if isinstance(values, list) else None,
        custom_error_type="range_or_choices",
        custom_error_message="a section with the keys low, high, log or a list of values",
    ),
]
Space = dict[str, RangeOrChoices]


@dataclass(frozen=True)
class Parameter:
    """What a model family lets params.yaml say of one parameter of its estimator.

    Attributes
    ----------
    low, high : float
        The least and the greatest number it takes; `low` itself only unless `above`.
    whole : bool
        Whether only whole numbers will do.
    above : bool
        Whether it must be above `low`.
    words : tuple
        What it takes besides numbers.
    layers : bool
        Whether it is a list of whole numbers, which cannot be searched.
    """

    low: float = 0
    high: float = 1e9
    whole: bool = False
    above: bool = False
    words: tuple[str | None, ...] = ()
    layers: bool = False

    def refusal(self, value: Any) -> str | None:
        """Return what the parameter takes when that is not `value`, else None."""
        if self.layers:
            return None if _are_layers(value) else LAYERS_IN_WORDS
        if isinstance(value, str | bool | None):
            fits = not isinstance(value, bool) and value in self.words
        else:
            fits = isinstance(value, int | float) and self.low <= value <= self.high
            fits = fits and not (self.above and value == self.low) and not (self.whole and not isinstance(value, int))
        return None if fits else self._takes()

    def _takes(self) -> str:
        words = " or ".join("null" if word is None else str(word) for word in self.words)
        if self.high < self.low:
            return f"it takes {words}"
        least = f"above {self.low:g}" if self.above else f"{self.low:g} or more"
        numbers = f"{'whole numbers, ' if self.whole else ''}{least}, at most {self.high:g}"
        return f"it takes {numbers}" + (f", or {words}" if words else "")


def _are_layers(value: Any) -> bool:
    """Tell whether a value is the sizes of a net's hidden layers, such as fit into memory."""
    if not isinstance(value, list) or not 0 < len(value) <= MOST_LAYERS:
        return False
    if not all(type(one) is int and 0 < one <= WIDEST_LAYER for one in value):
        return False
    return bool(sum(one * after for one, after in pairwise(value)) <= MOST_WEIGHTS)

"""Define search spaces: the values to search for each hyperparameter, and the values a model family allows."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, Self

from pydantic import Discriminator, Field, Tag, model_validator

from pipeline.support.section import Section

# Limits of a neural network's hidden layers: 10 million float64 weights take 320 MB, including the state of Adam.
MAX_LAYERS, MAX_LAYER_SIZE, MAX_WEIGHTS = 20, 10_000, 10_000_000
LAYERS_RULE = (
    f"it must be a list of whole numbers above 0, at most {MAX_LAYERS} of at most {MAX_LAYER_SIZE:,}, with at most "
    f"{MAX_WEIGHTS:,} weights between them (the sum of the products of adjacent sizes)"
)


class Range(Section):
    """A range of values: whole numbers if `low` and `high` are whole numbers."""

    low: int | float = Field(description="Smallest value.")
    high: int | float = Field(description="Largest value.")
    log: bool = Field(default=False, description="Sample uniformly on a logarithmic scale.")

    @model_validator(mode="after")
    def _check_bounds(self) -> Self:
        if not self.low < self.high:
            raise ValueError("`low` must be below `high`")
        if self.log and self.low <= 0:
            raise ValueError("`log` needs `low` above 0")
        if self.log and isinstance(self.low, int) and isinstance(self.high, int):
            raise ValueError("`log` does not work with whole numbers: write `low` or `high` with a decimal point")
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
    """The values that a parameter of a family's estimator may have in params.yaml.

    Attributes
    ----------
    low, high : float
        Smallest and largest number; if `high` is below `low`, numbers are not allowed.
    whole : bool
        Whether only whole numbers are allowed.
    above : bool
        Whether `low` itself is excluded.
    words : tuple
        Allowed values that are not numbers.
    layers : bool
        Whether it is a list of hidden layer sizes, which cannot be searched.
    """

    low: float = 0
    high: float = 1e9
    whole: bool = False
    above: bool = False
    words: tuple[str | None, ...] = ()
    layers: bool = False

    def violation(self, value: Any) -> str | None:
        """Return None if `value` is allowed, otherwise a sentence that says what is."""
        if self.layers:
            return None if _are_layer_sizes(value) else LAYERS_RULE
        if isinstance(value, str | bool | None):
            fits = not isinstance(value, bool) and value in self.words
        else:
            fits = isinstance(value, int | float) and self.low <= value <= self.high
            fits = fits and not (self.above and value == self.low) and not (self.whole and not isinstance(value, int))
        return None if fits else self._rule()

    def _rule(self) -> str:
        words = " or ".join("null" if word is None else str(word) for word in self.words)
        if self.high < self.low:
            return f"it must be {words}"
        least = f"above {self.low:g}" if self.above else f"{self.low:g} or more"
        numbers = f"{'a whole number, ' if self.whole else ''}{least}, at most {self.high:g}"
        return f"it must be {numbers}" + (f", or {words}" if words else "")


def _are_layer_sizes(value: Any) -> bool:
    """Return whether a value is a list of hidden layer sizes of a neural network that fits into memory."""
    if not isinstance(value, list) or not 0 < len(value) <= MAX_LAYERS:
        return False
    if not all(type(size) is int and 0 < size <= MAX_LAYER_SIZE for size in value):
        return False
    return bool(sum(size * next_size for size, next_size in pairwise(value)) <= MAX_WEIGHTS)

"""The base class of every section of params.yaml, and a short representation of values for messages."""

import reprlib

from pydantic import BaseModel, ConfigDict

MAX_REPR_LENGTH = 80  # characters


class Section(BaseModel):
    """A section of params.yaml: immutable, with unknown keys rejected and no conversion of text to numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class _Short(reprlib.Repr):
    """A length-limited `repr` that also handles integers with too many digits for Python to format."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = MAX_REPR_LENGTH

    def repr_int(self, x: int, level: int) -> str:
        if x.bit_length() > 256:
            return f"a whole number of {x.bit_length()} bits"
        return repr(x)


def short_repr(value: object) -> str:
    """Return the `repr` of a value for a message, shortened.

    Examples
    --------
    >>> short_repr("xgboost")
    "'xgboost'"
    >>> short_repr(list(range(100)))
    '[0, 1, 2, 3, 4, 5, ...]'
    """
    text = _Short().repr(value)
    return text if len(text) <= 2 * MAX_REPR_LENGTH else f"{text[:MAX_REPR_LENGTH]}…"

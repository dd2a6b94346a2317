"""What every section of params.yaml is, and how a value of it is shown in a message."""

import reprlib

from pydantic import BaseModel, ConfigDict

LONGEST_SHOWN = 80  # characters


class Section(BaseModel):
    """Base of every section: unknown keys are errors, numbers are not made from text."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class _Short(reprlib.Repr):
    """`repr` that ends, also of a number with millions of digits, which Python refuses to write out."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = LONGEST_SHOWN

    def repr_int(self, x: int, level: int) -> str:
        if x.bit_length() > 256:
            return f"a whole number of {x.bit_length()} bits"
        return repr(x)


def shown(value: object) -> str:
    """Return a value as a message shows it: as Python writes it, and short."""
    text = _Short().repr(value)
    return text if len(text) <= 2 * LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…"

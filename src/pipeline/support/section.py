"""What every section of params.yaml is, and how a value of it is shown in a message."""

import re
import reprlib

from pydantic import BaseModel, ConfigDict

LONGEST_SHOWN = 80  # characters
NUMBER_AS_TEXT = re.compile(r"([-+]?\d+)(\.\d*)?[eE]([-+]?)(\d+)")  # what YAML 1.1 takes for text, as 1e-3


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


def number_hint(value: object) -> str:
    """Return how to write a number that YAML takes for text, to be added to a message; empty for other values."""
    if not isinstance(value, str):
        return ""
    text = value.strip()
    if match := NUMBER_AS_TEXT.fullmatch(text):
        whole, fraction, sign, exponent = match.groups()
        fraction = fraction if fraction and len(fraction) > 1 else ".0"
        return f"; YAML takes {text} for text: write {whole}{fraction}e{sign or '+'}{exponent}"
    if re.fullmatch(r"[-+]?\d+(\.\d*)?", text):
        return f"; it is text: write {text} without quotes"
    return ""

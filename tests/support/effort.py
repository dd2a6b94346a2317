"""Test effort: THOROUGH=1 (`make test-all`) runs every example and every kill, otherwise a part of them."""

import os

THOROUGH = os.environ.get("THOROUGH") == "1"


def times(thorough: int, quick: int) -> int:
    """Return the number of repetitions for the current effort."""
    return thorough if THOROUGH else quick

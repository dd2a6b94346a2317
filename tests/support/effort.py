"""How hard the tests try: THOROUGH=1 (`make test-all`) asks for all examples and kills, else for a part."""

import os

THOROUGH = os.environ.get("THOROUGH") == "1"


def times(all_of_them: int, few: int) -> int:
    """Return how often to try."""
    return all_of_them if THOROUGH else few

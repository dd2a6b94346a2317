"""Where the code is that pages are generated from."""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
SOURCE = ROOT / "src"


def make_importable() -> None:
    """Let the package `pipeline` be imported by whatever builds the site."""
    if str(SOURCE) not in sys.path:
        sys.path.insert(0, str(SOURCE))

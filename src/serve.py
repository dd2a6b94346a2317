"""Serve the registered model over HTTP, on port 8080 by default; configure it by environment variables or .env."""

import argparse

from pipeline.cli import run_script


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    return argparse.ArgumentParser(description=__doc__)


def main() -> None:
    """Parse the command line, which has no options, and serve until stopped."""
    build_parser().parse_args()

    from pathlib import Path

    from pipeline.service.web.server import serve

    serve(Path())


if __name__ == "__main__":
    run_script(main)

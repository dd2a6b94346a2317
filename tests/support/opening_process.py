"""A process that opens the store and an experiment, and prints the experiment's id."""

from pipeline.store.open import open_experiment, open_store


def main() -> None:
    """Open them."""
    print(open_experiment(open_store(), "first"))

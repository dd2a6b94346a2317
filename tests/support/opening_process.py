"""A process that opens the store and an experiment, and prints the experiment's ID."""

from pipeline.store.open import open_experiment, open_store


def main() -> None:
    """Open the store and the experiment."""
    print(open_experiment(open_store(), "first"))

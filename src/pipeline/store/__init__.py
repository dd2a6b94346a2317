"""Care of the MLflow store: making it, its places, its state, pruning, backup and restore."""

"""Maintain the MLflow store: status, relocate, prune, backup and restore."""

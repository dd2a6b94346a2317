"""Open, inspect and maintain the MLflow store."""

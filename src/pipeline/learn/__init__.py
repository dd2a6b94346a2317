"""Finding and fitting a model: search, cross-validation, final fit. Nothing here knows of MLflow or of files."""

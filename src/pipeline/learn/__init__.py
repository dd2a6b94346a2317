"""Search, cross-validate and fit models. Nothing in this package depends on MLflow or on files."""

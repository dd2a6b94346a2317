"""Stage 2: tables become MLflow runs, and one of them wins."""

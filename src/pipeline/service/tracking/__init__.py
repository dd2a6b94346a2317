"""Report the metrics of a session to MLflow and Prometheus."""

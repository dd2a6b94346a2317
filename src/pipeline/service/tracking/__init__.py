"""The numbers of a session, for MLflow and Prometheus."""

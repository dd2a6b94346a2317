"""A registered version as files, loaded back from MLflow."""

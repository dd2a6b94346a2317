"""Stage 2, model_train: train models, record them as MLflow runs, and select the best."""

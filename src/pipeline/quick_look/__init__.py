"""Train quick baselines on a table, without DVC, configuration or hyperparameter search."""

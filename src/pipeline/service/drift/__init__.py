"""Monitor whether requests and predictions still resemble the training data."""

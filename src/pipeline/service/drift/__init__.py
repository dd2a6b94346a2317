"""Whether what is asked and answered is still like the training data."""

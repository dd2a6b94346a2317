"""A pipeline folder for a table of one's own: what the table says of itself, written as params.yaml and dvc.yaml."""

"""Create a pipeline folder for a table: infer params.yaml from the table, and adapt dvc.yaml."""

"""Export model versions to files."""

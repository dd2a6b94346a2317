"""Stage 1, prepare: read, validate and split a raw table."""

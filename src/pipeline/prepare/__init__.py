"""Stage 1: a raw file becomes checked, split tables."""

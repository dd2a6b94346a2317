"""Stage 3: the winning run becomes a registry version and an export."""

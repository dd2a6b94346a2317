"""The gate: compare a run with the current production version before it is promoted."""

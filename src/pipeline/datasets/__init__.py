"""Sources of the example tables: simulations, and a download of the real housing table."""

"""From raw rows to features: ships whole inside every logged model."""

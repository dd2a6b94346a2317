"""Compute features from raw rows. The whole package is copied into every logged model."""

"""Plots, tables and texts of a run."""

"""Reproduce a registered version: train it again from its commit, parameters and data, and compare the results."""

"""Retrain on recorded predictions that have labels; the gate decides about the new model."""

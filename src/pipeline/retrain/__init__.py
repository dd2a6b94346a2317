"""Retraining on what the prediction service recorded and someone labelled; the gate decides what becomes of it."""

"""Verify a version and its export."""

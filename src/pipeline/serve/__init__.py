"""What runs inside a served model."""

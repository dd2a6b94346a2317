"""Request bodies and response bodies of the prediction endpoints."""

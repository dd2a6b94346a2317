"""A fitted model and its features as one ONNX graph over raw rows."""

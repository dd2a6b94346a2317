"""Convert a fitted model and its feature transformer to one ONNX graph over raw rows."""

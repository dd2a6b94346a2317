"""The prediction service: serve registered models over HTTP, record every prediction and monitor drift."""

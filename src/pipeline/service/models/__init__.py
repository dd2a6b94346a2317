"""Models being served: loading, prediction, explanation and A/B assignment."""

"""Whether a run may take the place of the version in Production."""

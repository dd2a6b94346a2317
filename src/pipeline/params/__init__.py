"""params.yaml, the one configuration of a pipeline folder."""

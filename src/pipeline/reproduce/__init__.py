"""Training a registered version again, from its commit, its params and its data, and comparing what comes out."""

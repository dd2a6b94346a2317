"""Whether a version and its export are what they claim to be."""

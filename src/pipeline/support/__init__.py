"""Files, processes, git and text: what knows nothing of the subject."""

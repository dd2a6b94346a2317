"""General helpers for files, processes, git and text; independent of machine learning."""

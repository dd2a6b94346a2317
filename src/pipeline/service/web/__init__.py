"""The service over HTTP: paths, pages, documentation, connections."""

"""The prediction service: it serves what the pipeline registered, records every answer, and watches for drift."""

"""The pictures, tables and texts of a run."""

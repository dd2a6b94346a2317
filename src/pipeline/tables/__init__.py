"""Tables of rows: reading, duplicates, splitting."""

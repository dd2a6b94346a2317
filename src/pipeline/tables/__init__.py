"""Read tables, find duplicate rows, and split rows."""

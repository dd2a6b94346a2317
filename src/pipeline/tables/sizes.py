"""The sizes in which tables are read and written."""

GROUP_CELLS = 2**20  # values in a row group
GROUPS = 8  # row groups in a part


def rows_per_group(n_columns: int) -> int:
    """Return the number of rows in a row group of a table with this many columns."""
    return max(GROUP_CELLS // n_columns, 1000)


def rows_per_part(n_columns: int) -> int:
    """Return the number of rows in a part: the rows that are in memory at a time, in each thread."""
    return GROUPS * rows_per_group(n_columns)

"""Force small parts, so that a small table is read or written like one that is larger than memory."""

import pytest

READERS = ("csv_files", "parquet_files", "parts")


def force_parts(monkeypatch: pytest.MonkeyPatch, n_rows: int) -> None:
    """Read tables in parts of `n_rows` rows."""
    for module in READERS:
        monkeypatch.setattr(f"pipeline.tables.{module}.rows_per_part", lambda n_columns: n_rows)


def force_written_parts(monkeypatch: pytest.MonkeyPatch, n_rows: int) -> None:
    """Write tables in parts of `n_rows` rows."""
    monkeypatch.setattr("pipeline.prepare.write.rows_per_part", lambda n_columns: n_rows)

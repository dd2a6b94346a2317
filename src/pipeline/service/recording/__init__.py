"""Answers as Parquet files."""

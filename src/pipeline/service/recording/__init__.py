"""Record predictions in Parquet files, and read them back."""

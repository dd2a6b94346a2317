"""A quick look at a table: families fitted without a search, without DVC."""

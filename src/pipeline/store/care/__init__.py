"""Status, moving, pruning, backup and restore of the store."""

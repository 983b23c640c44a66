"""Training and test items on disk, as JSON lines."""

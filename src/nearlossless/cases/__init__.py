"""What a `case.toml` says: the case, its recipes and its thresholds, read, checked and edited."""

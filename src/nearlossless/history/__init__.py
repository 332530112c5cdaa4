"""Records of many runs: kept in a folder, lined up over time, searched for changes."""

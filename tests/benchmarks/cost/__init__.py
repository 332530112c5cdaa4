"""What the tool itself costs: time and memory of the quality gate, and the whole gate beside plain tests."""

"""Five gates as plain pytest tests; `tests.benchmarks.cost.gate_runs` copies them into a folder as `test_<name>.py`."""

"""Memory that a pipeline takes, leaks and would need."""

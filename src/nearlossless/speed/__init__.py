"""Latencies of two pipelines in turn, and what they say of a speedup or a slowdown."""

"""The memory gate's own proof: planted leaks, benign changes, and figures beside known allocations."""

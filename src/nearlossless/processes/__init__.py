"""One (case, recipe) in a process of its own."""

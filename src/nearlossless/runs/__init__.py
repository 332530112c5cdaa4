"""One run: what it is about, what it collects, and what several workers or shards of it leave."""

"""What bench_speed is made of: noise models, the rules of others, ours, and the tables."""

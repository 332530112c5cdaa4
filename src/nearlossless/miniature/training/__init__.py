"""Training of the miniature, from nothing to the weights that ship: `python -m nearlossless.miniature.training`."""

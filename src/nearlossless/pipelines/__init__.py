"""Diffusers pipelines: from a case to a baseline, from a baseline and a recipe to a compiled one, and their calls."""

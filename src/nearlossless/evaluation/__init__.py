"""Release evaluation: a recipe beside its baseline over thousands of prompts, on one machine or on a Ray cluster."""

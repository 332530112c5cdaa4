"""The denoiser beside one a precision up, step by step, and everything around it with its outputs replayed."""

"""nearlossless: is the faster diffusion pipeline really faster, does it fit, is the picture still the same?"""

__version__ = "0.1.0"

"""The miniature: a trained SD3 pipeline of a few million parameters that ships inside the package."""

from pathlib import Path

WEIGHTS = Path(__file__).parent / "weights"
PIPELINE = WEIGHTS / "pipeline"
JUDGE = WEIGHTS / "judge"

"""Scores of two pictures that are the same, with changes."""

from nearlossless.metrics.scores import Scores


def scores(worst_tile_ssim: float = 1.0, **changes: object) -> Scores:
    """What comparing a picture of 128x128 pixels with itself gives, with `changes` made to it."""
    sound: dict[str, object] = {
        "mean_ssim": 1.0,
        "worst_tile_ssim": worst_tile_ssim,
        "worst_tile_xywh": (0, 0, 16, 16),
        "ms_ssim": None,
        "psnr_db": float("inf"),
        "worst_tile_psnr_db": float("inf"),
        "p99_difference": 0,
        "max_difference": 0,
        "channel_shift": (0.0, 0.0, 0.0),
        "worst_tile_colour_difference": 0.0,
        "worst_colour_xywh": (0, 0, 16, 16),
    }
    return Scores.model_validate(sound | changes)

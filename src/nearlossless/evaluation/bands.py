"""What an evaluation over a set of prompts needs, and what it requires."""

from typing import Annotated, Final

from pydantic import Field

from nearlossless.fields import Layer, Share, Strict

MOST_DROP: Final = 10.0  # points of CLIP score that one prompt counts with, either way, in the mean drop
Points = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
Drop = Annotated[float, Field(ge=0, lt=MOST_DROP, allow_inf_nan=False)]  # a mean that no set exceeds would judge none
Distance = Annotated[float, Field(allow_inf_nan=False)]


class Evaluation(Strict):
    """What is drawn and compared in an evaluation, where the command line does not say."""

    prompts: str | None = Field(None, description="File of prompts, or 'miniature:held-out'.")
    reference: str | None = Field(None, description="Safetensors file of reference statistics.")
    features: str | None = Field(None, description="Local folder of a vision model whose features FID compares.")


class SetBand(Layer):
    """Bands of a set. `max_clip_drop` and `max_share_off` are needed; what else is not named is shown, not judged."""

    min_clip: Points | None = Field(None, description="Floor of the recipe's mean CLIP score.")
    max_clip: Points | None = Field(None, description="Ceiling of the recipe's mean CLIP score.")
    max_clip_drop: Drop | None = Field(None, description="Ceiling of the mean paired drop of the CLIP score.")
    max_share_off: Share | None = Field(None, description="Ceiling of the share of prompts that leave their band.")
    max_cmmd: Distance | None = Field(None, description="Ceiling of the CMMD between baseline and recipe.")
    max_kid: Distance | None = Field(None, description="Ceiling of the KID between baseline and recipe.")
    max_fid: Distance | None = Field(None, description="Ceiling of the FID between baseline and recipe.")
    min_reference_cmmd: Distance | None = Field(None, description="Floor of the recipe's CMMD to the reference.")
    max_reference_cmmd: Distance | None = Field(None, description="Ceiling of the same.")
    min_reference_kid: Distance | None = Field(None, description="Floor of the recipe's KID to the reference.")
    max_reference_kid: Distance | None = Field(None, description="Ceiling of the same.")
    min_reference_fid: Distance | None = Field(None, description="Floor of the recipe's FID to the reference.")
    max_reference_fid: Distance | None = Field(None, description="Ceiling of the same.")

"""What the shapes gate measured: sizes and swaps of LoRAs."""

from pydantic import Field

from nearlossless.record.part import Part


class SizeRecord(Part):
    """One size of the shapes gate."""

    height: int
    width: int
    compiles: int
    latency_s: float
    live_worst_tile_ssim: float | None = None
    problems: list[str] = Field(default_factory=list)


class SwapRecord(Part):
    """One swap of the LoRA in both pipelines."""

    lora: str
    compiles: int
    baseline_change_ssim: float | None = None  # worst tile of the baseline's pictures after against before the swap
    live_worst_tile_ssim: float | None = None
    problems: list[str] = Field(default_factory=list)

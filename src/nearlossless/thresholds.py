"""What the gates require, for a case, a recipe or one kind of hardware."""

from pydantic import Field

from nearlossless.fields import Name, Ratio, Reason, Seconds, Similarity, Strict


class Thresholds(Strict):
    """What the gates require. One that is absent is *not yet measured*: its gate is NOT_COMPARABLE."""

    min_speedup: Ratio | None = Field(None, description="Floor of baseline latency / compiled latency.")
    max_latency_s: Seconds | None = Field(None, description="Ceiling of the compiled pipeline's median latency.")
    max_slowdown: float | None = Field(
        None, ge=0, lt=1, description="Share by which the speedup may fall below the record accepted on this machine."
    )
    max_latency_slowdown: float | None = Field(
        None,
        ge=0,
        allow_inf_nan=False,
        description="The same of the compiled latency's growth; 0.05 where only `max_slowdown` is set.",
    )
    max_memory_ratio: Ratio | None = Field(None, description="Ceiling of compiled / baseline steady peak.")
    max_peak_gib: Ratio | None = Field(None, description="Ceiling of the compiled steady peak in GiB.")
    max_parity_ratio: Ratio | None = Field(
        None, description="Ceiling of the compiled / the baseline's own distance to a reference one precision up."
    )
    min_live_ssim: Similarity | None = Field(None, description="Worst tile against the live baseline.")
    min_stored_ssim: Similarity | None = Field(None, description="Worst tile against the stored picture.")
    foreign_min_stored_ssim: Similarity | None = Field(
        None, description="Looser band for pictures stored on other hardware; without it they are NOT_COMPARABLE."
    )
    max_clip_drop: float | None = Field(
        None, ge=0, le=100, description="Paired drop of the CLIP score of any picture, in points of 100."
    )
    max_compiles_after_warmup: int | None = Field(0, ge=0, description="Compiles while the sizes are cycled.")
    max_cold_start_s: Seconds | None = Field(None, description="Load and first call with empty caches.")
    max_warm_start_ratio: Ratio | None = Field(None, description="Ceiling of warm / cold first call.")

    def overridden_by(self, other: "Thresholds") -> "Thresholds":
        """These thresholds with those that `other` sets itself in their place."""
        return Thresholds(**{**self.model_dump(exclude_unset=True), **other.model_dump(exclude_unset=True)})


class Override(Strict):
    """Thresholds for one kind of device."""

    thresholds: Thresholds = Thresholds()
    recipes: dict[Name, Thresholds] = Field(default_factory=dict)
    baseline_does_not_fit: Reason | None = Field(
        None, description="Why no baseline can be run here: absolute thresholds and stored pictures judge alone."
    )

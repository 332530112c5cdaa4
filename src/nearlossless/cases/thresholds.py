"""What the gates require, for a case, a recipe or one kind of hardware."""

import functools
from typing import Any

from pydantic import Field

from nearlossless.evaluation.bands import SetBand
from nearlossless.fields import Layer, Level, Name, Ratio, Reason, Seconds, Share, Similarity, Strict


class Band(Layer):
    """How far a picture may be from its anchor. `min_ssim` is needed; what else is not named is shown, not judged."""

    min_ssim: Similarity | None = Field(None, description="Structural similarity of the worst tile.")
    min_ms_ssim: Similarity | None = Field(None, description="Multi-scale structural similarity, sides above 160.")
    min_psnr_db: Ratio | None = Field(None, description="Peak signal-to-noise ratio of the worst tile.")
    max_p99_difference: Level | None = Field(None, description="99th percentile of the absolute difference.")
    max_difference: Level | None = Field(None, description="Largest absolute difference.")
    max_channel_shift: Level | None = Field(None, description="Mean signed difference of any channel, either sign.")
    max_colour_difference: Share | None = Field(None, description="Of any tile's mean colour, in OKLab.")
    max_flip: Share | None = Field(None, description="Mean FLIP error of the worst tile.")
    max_lpips: Ratio | None = Field(None, description="LPIPS of the whole picture.")
    pictures: int | None = Field(
        None, ge=1, description="How many pictures it was set for: the worst of more is worse."
    )


class PhaseBudgets(Layer):
    """Budgets of single phases, of a process or of a steady call, in GiB."""

    load: Ratio | None = Field(None, description="Until the pipeline is built.")
    first_call: Ratio | None = Field(None, description="In the first call, which compiles.")
    text_encoding: Ratio | None = Field(None, description="While prompts are encoded.")
    denoising: Ratio | None = Field(None, description="In all denoising steps.")
    decoding: Ratio | None = Field(None, description="While pictures are decoded.")


class Thresholds(Layer):
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
    max_phase_peak_gib: PhaseBudgets = Field(PhaseBudgets(), description="The same by phase; only those named.")
    max_leak_kib_per_call: float = Field(
        32.0, ge=0, allow_inf_nan=False, description="KiB by which host memory may grow a call."
    )
    max_tensor_growth_kib: float = Field(
        0.0, ge=0, allow_inf_nan=False, description="KiB by which torch's tensors may grow over all such calls."
    )
    max_residue_mib: float = Field(
        64.0, ge=0, allow_inf_nan=False, description="MiB of tensors that may outlive the deleted pipeline."
    )
    max_parity_ratio: Ratio | None = Field(
        None, description="Ceiling of the compiled / the baseline's own distance to a reference one precision up."
    )
    live: Band = Field(Band(), description="Of each picture against the live baseline's.")
    replay: Band = Field(Band(), description="Of the picture decoded in the replay; without `min_ssim`: the live band.")
    stored: Band = Field(Band(), description="Of each picture against the stored one.")
    foreign: Band = Field(Band(), description="Of each picture against one that other hardware stored.")
    max_embedding_error: Ratio | None = Field(
        None, description="Relative RMS error of embeddings; None: what an encoder rounds, quantized ones need more."
    )
    max_clip_drop: float | None = Field(
        None, ge=0, le=100, description="Paired drop of the CLIP score of any picture, in points of 100."
    )
    evaluation: SetBand = Field(SetBand(), description="Of thousands of prompts together (`nearlossless evaluate`).")
    max_compiles_after_warmup: int | None = Field(0, ge=0, description="Compiles while the sizes are cycled.")
    min_size_speedup: Ratio | None = Field(
        1.0, description="What no size's speedup may be shown to lie below, on a GPU: at 1, slower than the baseline."
    )
    max_cold_start_s: Seconds | None = Field(None, description="Load and first call with empty caches.")
    max_warm_start_ratio: Ratio | None = Field(None, description="Ceiling of warm / cold first call.")
    max_stack_slowdown: float | None = Field(
        None, ge=0, lt=1, description="Share of the other stack's speed that may be lost here (`--against`)."
    )
    max_stack_memory_ratio: Ratio | None = Field(
        None, description="Ceiling of the steady peak here / in the other stack (`--against`)."
    )
    max_artifact_start_ratio: Ratio | None = Field(
        None, description="Ceiling of the first call from compile artifacts / cold first call."
    )
    max_warm_cache_misses: int = Field(
        0, ge=0, description="Graphs compiled although a former start had filled the caches."
    )
    because: Reason | None = Field(None, description="Why this table loosens what a more general one requires.")

    def overridden_by(self, other: "Thresholds") -> "Thresholds":
        """
        These thresholds with those that `other` sets itself in their place, in bands figure by figure.

        Reasons stay in their tables.
        """
        layers = [layer.model_dump(exclude={"because"}) for layer in (self, other)]
        return Thresholds.model_validate(_merged(*layers))

    def value(self, name: str) -> Any:
        """A threshold by its name in a case file, where a dot leads into a band: `live.min_ssim`; None: no such one."""
        return functools.reduce(lambda table, part: table and getattr(table, part), name.split("."), self)


def _merged(general: dict[str, Any], special: dict[str, Any]) -> dict[str, Any]:
    nested = {
        key: _merged(general[key], value)
        for key, value in special.items()
        if isinstance(value, dict) and key in general
    }
    return general | special | nested


class Override(Strict):
    """Thresholds for one kind of device."""

    thresholds: Thresholds = Thresholds()
    recipes: dict[Name, Thresholds] = Field(default_factory=dict)
    baseline_does_not_fit: Reason | None = Field(
        None, description="Why no baseline can be run here: absolute thresholds and stored pictures judge alone."
    )

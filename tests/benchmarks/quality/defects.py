"""
The defects: each a change that a person would call wrong, from gross to barely visible.

What leaves the pictures as they are is none, even where it is no rounding: the other form of GELU, or a hundred times
the epsilon of the query and key norms, moves the miniature's pixels by two levels of 255 at most.
"""

from tests.benchmarks.quality import conditioning_defects as conditioning
from tests.benchmarks.quality import decoding_defects as decoding
from tests.benchmarks.quality import denoising_defects as denoising
from tests.benchmarks.quality import picture_defects as finished
from tests.benchmarks.quality.changes import Change

_SINGLE = (
    denoising.block_skipped,
    denoising.attention_scale_off,
    denoising.query_and_key_norms_dropped,
    denoising.stale_keys_and_values,
    denoising.text_stream_not_updated,
    denoising.modulation_gate_dropped,
    denoising.bias_lost,
    denoising.int4_weights,
    denoising.int3_weights,
    denoising.quantization_scale_wrong,
    denoising.nan_weight,
    denoising.position_table_not_cropped,
    conditioning.stale_prompt_embedding,
    conditioning.padding_tokens_lost,
    conditioning.empty_prompt_zeroed,
    conditioning.pooled_embedding_dropped,
    conditioning.text_encoder_dropped,
    conditioning.guidance_off,
    conditioning.guidance_reversed,
    conditioning.wrong_seed,
    conditioning.scheduler_shift_wrong,
    conditioning.timestep_off_by_one,
    conditioning.last_step_dropped,
    conditioning.every_other_step_cached,
    decoding.vae_scaling_left_out,
    decoding.vae_overflow,
    decoding.seams_at_tiles,
    decoding.decoder_norm_dropped,
    decoding.upsampled_bilinearly,
    finished.black,
    finished.grey,
    finished.channels_swapped,
    finished.gamma,
    finished.darker,
    finished.desaturated,
    finished.colour_cast,
    finished.range_squeezed,
    finished.highlights_clipped,
    finished.colour_depth_lost,
    finished.shifted_by_a_pixel,
    finished.tile_corrupted,
    finished.rows_unwritten,
    finished.blurred,
    finished.jpeg,
)
DEFECTS = (
    *(Change(apply=defect) for defect in _SINGLE),
    Change(apply=conditioning.prompts_swapped, batch_size=2),
)

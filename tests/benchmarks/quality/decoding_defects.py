"""Defects of the VAE's decoder."""

from typing import Any

import torch


def vae_scaling_left_out(pipeline: Any) -> Any:
    """The latents' scaling factor is taken for 1."""
    pipeline.vae.register_to_config(scaling_factor=1.0)
    return pipeline


def vae_overflow(pipeline: Any) -> Any:
    """Activations before the decoder's last layer that are among the largest overflow to infinity."""

    def overflow(_: Any, __: Any, output: torch.Tensor) -> torch.Tensor:
        return output.masked_fill(output > 0.9 * output.max(), float("inf"))

    pipeline.vae.decoder.conv_act.register_forward_hook(overflow)
    return pipeline


def seams_at_tiles(pipeline: Any) -> Any:
    """The picture is decoded in four tiles that are put together without blending."""
    decode = pipeline.vae.decode

    def tiled(latents: torch.Tensor, **_: Any) -> Any:
        rows = [
            torch.cat([decode(tile, return_dict=False)[0] for tile in band.chunk(2, dim=3)], dim=3)
            for band in latents.chunk(2, dim=2)
        ]
        return (torch.cat(rows, dim=2),)

    pipeline.vae.decode = tiled
    return pipeline


def decoder_norm_dropped(pipeline: Any) -> Any:
    """One norm of the decoder's last block hands on what it is given, as after a fusion that forgot it."""
    pipeline.vae.decoder.up_blocks[-1].resnets[-1].norm2.forward = lambda hidden_states: hidden_states
    return pipeline


def upsampled_bilinearly(pipeline: Any) -> Any:
    """The decoder's last upsampling interpolates between its neighbours instead of repeating them."""
    upsampler = pipeline.vae.decoder.up_blocks[-2].upsamplers[0]

    def smooth(hidden_states: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
        larger = torch.nn.functional.interpolate(hidden_states, scale_factor=2.0, mode="bilinear")
        convolved: torch.Tensor = upsampler.conv(larger)
        return convolved

    upsampler.forward = smooth
    return pipeline

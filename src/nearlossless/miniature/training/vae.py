"""The autoencoder: L1, squared and gradient error, and a small KL, on whole pictures of every size."""

import random
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from torch import Tensor

from nearlossless.miniature.architecture import build_vae
from nearlossless.miniature.training.loop import train
from nearlossless.miniature.training.pictures import SIZE_SHARES, Pictures

PIXELS_PER_BATCH = 48 * 128 * 128  # the same work a step at every size
KL_WEIGHT = 1e-3
SIZES = tuple(SIZE_SHARES)


def _gradients(images_BCHW: Tensor) -> tuple[Tensor, Tensor]:
    return images_BCHW.diff(dim=-1), images_BCHW.diff(dim=-2)


def vae_loss(vae: AutoencoderKL, images_BCHW: Tensor, generator: torch.Generator) -> Tensor:
    """Reconstruction error plus KL per pixel; fine patterns show in the error of the gradients."""
    posterior = vae.encode(images_BCHW).latent_dist
    noise = torch.randn(posterior.mean.shape, generator=generator, device=images_BCHW.device)
    restored = vae.decode(posterior.mean + posterior.std * noise).sample.float()
    error = restored - images_BCHW
    edges = sum((g - w).abs().mean() for g, w in zip(_gradients(restored), _gradients(images_BCHW), strict=True))
    divergence = posterior.kl().float().mean() / (images_BCHW.shape[-1] * images_BCHW.shape[-2])
    return error.abs().mean() + error.square().mean() + edges + KL_WEIGHT * divergence


def next_size(chance: random.Random) -> tuple[int, int]:
    """Half of the batches have the default size, the others any."""
    return SIZES[0] if chance.random() < 0.5 else chance.choice(SIZES[1:])


def train_vae(pictures: Pictures, folder: Path, *, steps: int) -> AutoencoderKL:
    """Train the autoencoder and set the scale and shift that bring its latents to mean 0 and deviation 1."""
    torch.manual_seed(1)
    vae = build_vae().to(pictures.device)

    def loss(chance: random.Random, generator: torch.Generator) -> Tensor:
        size = next_size(chance)
        count = max(1, PIXELS_PER_BATCH // (size[0] * size[1]))
        indices = torch.randint(len(pictures.captions[size]), (count,), generator=generator, device=pictures.device)
        return vae_loss(vae, pictures.batch(size, indices), generator)

    trained = train("vae", vae, loss, steps=steps, peak=2e-3, folder=folder, device=pictures.device, seed=1)
    assert isinstance(trained, AutoencoderKL)
    with torch.inference_mode():
        sample = pictures.batch(SIZES[0], torch.arange(min(512, len(pictures.captions[SIZES[0]]))))
        means = torch.cat([trained.encode(part).latent_dist.mean for part in sample.split(32)])
    trained.register_to_config(
        shift_factor=round(float(means.mean()), 5), scaling_factor=round(float(1 / means.std()), 5)
    )
    return trained

"""Flow matching: the transformer and the T5 encoder together, on the autoencoder's latents of every size."""

import random
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn
from transformers import CLIPTextModelWithProjection, CLIPTokenizer, T5TokenizerFast

from nearlossless.miniature.architecture import SHIFT, T5_WIDTH, build_t5, build_transformer
from nearlossless.miniature.tokenizers import MAX_LENGTH
from nearlossless.miniature.training.clip import tokenize
from nearlossless.miniature.training.loop import train
from nearlossless.miniature.training.pictures import Pictures
from nearlossless.miniature.training.vae import SIZES

EMPTY_PROMPT_SHARE = 0.1  # for classifier-free guidance
DEFAULT_SIZE_SHARE = 0.7


@dataclass(frozen=True, slots=True)
class TextSide:
    """What the frozen encoders make of a set of captions; row 0 is the empty prompt."""

    t5_ids: Tensor  # (N, 16)
    clip_embeds: Tensor  # (N, 16, 128): both CLIPs side by side
    pooled: Tensor  # (N, 128)


@torch.inference_mode()
def encode_texts(
    captions: list[str],
    clip_tokenizer: CLIPTokenizer,
    t5_tokenizer: T5TokenizerFast,
    towers: list[CLIPTextModelWithProjection],
    device: torch.device,
) -> TextSide:
    """Run the CLIP towers over the empty prompt and all captions, as the pipeline does."""
    texts = ["", *captions]
    hidden, pooled = [], []
    for start in range(0, len(texts), 4096):
        ids = tokenize(clip_tokenizer, texts[start : start + 4096]).to(device)
        outputs = [tower(ids, output_hidden_states=True) for tower in towers]
        hidden.append(torch.cat([output.hidden_states[-2] for output in outputs], -1))
        pooled.append(torch.cat([output.text_embeds for output in outputs], -1))
    t5_ids = t5_tokenizer(texts, padding="max_length", max_length=MAX_LENGTH, truncation=True, return_tensors="pt")
    return TextSide(t5_ids.input_ids.to(device), torch.cat(hidden), torch.cat(pooled))


@torch.inference_mode()
def encode_pictures(vae: AutoencoderKL, pictures: Pictures, size: tuple[int, int]) -> Tensor:
    """Scaled latents (N, 16, H/8, W/8) of all pictures of one size."""
    length = max(1, 256 * 128 * 128 // (size[0] * size[1]))
    means = [vae.encode(images).latent_dist.mean for images in pictures.chunks(size, length)]
    return (torch.cat(means) - vae.config.shift_factor) * vae.config.scaling_factor


class Denoiser(nn.Module):
    """The two parts that learn together."""

    def __init__(self) -> None:
        super().__init__()
        self.transformer = build_transformer()
        self.text_encoder_3 = build_t5()

    def forward(
        self, noisy_BCHW: Tensor, sigma_B: Tensor, t5_ids: Tensor, clip_embeds: Tensor, pooled: Tensor
    ) -> Tensor:
        """Predicted velocity (noise minus latents), laid out as SD3's pipeline lays out its text tokens."""
        t5_embeds = self.text_encoder_3(t5_ids)[0]
        clip_embeds = nn.functional.pad(clip_embeds, (0, T5_WIDTH - clip_embeds.shape[-1]))
        velocity: Tensor = self.transformer(
            hidden_states=noisy_BCHW,
            timestep=sigma_B * 1000,
            encoder_hidden_states=torch.cat([clip_embeds, t5_embeds.to(clip_embeds.dtype)], dim=1),
            pooled_projections=pooled,
            return_dict=False,
        )[0]
        return velocity


def flow_matching_loss(
    denoiser: Denoiser, latents_BCHW: Tensor, text: TextSide, rows: Tensor, generator: torch.Generator
) -> Tensor:
    """
    Squared error of the predicted velocity at logit-normal times moved by the sampler's shift.

    Source: Esser et al. 2024, arXiv:2403.03206, sections 3.1 and 5.3.2.
    """
    where, count = latents_BCHW.device, len(latents_BCHW)
    sigma_B = torch.randn(count, generator=generator, device=where).sigmoid()
    # Half of the times as the shifted schedule visits them, half unshifted: late steps draw the patterns.
    shifted = SHIFT * sigma_B / (1 + (SHIFT - 1) * sigma_B)
    sigma_B = torch.where(torch.rand(count, generator=generator, device=where) < 0.5, shifted, sigma_B)
    noise = torch.randn(latents_BCHW.shape, generator=generator, device=where)
    weight = sigma_B.view(-1, 1, 1, 1)
    noisy = (1 - weight) * latents_BCHW + weight * noise
    dropped = torch.rand(count, generator=generator, device=where) < EMPTY_PROMPT_SHARE
    rows = torch.where(dropped, 0, rows)
    velocity = denoiser(noisy, sigma_B, text.t5_ids[rows], text.clip_embeds[rows], text.pooled[rows])
    return (velocity.float() - (noise - latents_BCHW)).square().mean()


def train_transformer(
    pictures: Pictures,
    vae: AutoencoderKL,
    towers: list[CLIPTextModelWithProjection],
    clip_tokenizer: CLIPTokenizer,
    t5_tokenizer: T5TokenizerFast,
    folder: Path,
    *,
    steps: int,
    batch: int,
    peak: float,
) -> Denoiser:
    """Train on all sizes, mostly on the default one; `batch` pictures of 128x128 a step, fewer larger ones."""
    device = pictures.device
    latents = {size: encode_pictures(vae, pictures, size) for size in SIZES}
    texts = {
        size: encode_texts(pictures.captions[size], clip_tokenizer, t5_tokenizer, towers, device) for size in SIZES
    }
    torch.manual_seed(3)
    denoiser = Denoiser().to(device)

    def loss(chance: random.Random, generator: torch.Generator) -> Tensor:
        size = SIZES[0] if chance.random() < DEFAULT_SIZE_SHARE else chance.choice(SIZES[1:])
        count = max(8, batch * 128 * 128 // (size[0] * size[1])) if size[0] * size[1] > 128 * 128 else batch
        rows = torch.randint(len(latents[size]), (count,), generator=generator, device=device)
        return flow_matching_loss(denoiser, latents[size][rows], texts[size], rows + 1, generator)

    trained = train("transformer", denoiser, loss, steps=steps, peak=peak, folder=folder, device=device, seed=3)
    assert isinstance(trained, Denoiser)
    return trained

"""Contrastive training of the CLIPs: the generator's two text towers, and the judge apart from them."""

import random
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import CLIPModel, CLIPTokenizer

from nearlossless.miniature.architecture import CLIP_WIDTHS, DEFAULT_SIZE, build_clip
from nearlossless.miniature.tokenizers import MAX_LENGTH
from nearlossless.miniature.training.loop import train

if TYPE_CHECKING:
    from nearlossless.miniature.training.pictures import Pictures

# CLIP's own normalization constants (Radford et al. 2021); the image processor that ships uses the same.
IMAGE_MEAN = (0.48145466, 0.4578275, 0.40821073)
IMAGE_STD = (0.26862954, 0.26130258, 0.27577711)


class Tower(NamedTuple):
    """Size of a text tower."""

    width: int
    layers: int
    activation: str


TOWERS = {
    "text_encoder": Tower(CLIP_WIDTHS["text_encoder"], 2, "quick_gelu"),
    "text_encoder_2": Tower(CLIP_WIDTHS["text_encoder_2"], 2, "gelu"),
    "judge": Tower(96, 3, "quick_gelu"),
}


def tokenize(tokenizer: CLIPTokenizer, captions: list[str]) -> Tensor:
    """Token ids of shape (captions, 16), padded with the end token."""
    encoded = tokenizer(captions, padding="max_length", max_length=MAX_LENGTH, truncation=True, return_tensors="pt")
    ids: Tensor = encoded.input_ids
    return ids


def normalize(images_BCHW: Tensor) -> Tensor:
    """From [-1, 1] to what CLIP's vision tower expects."""
    mean, std = (images_BCHW.new_tensor(values).view(1, 3, 1, 1) for values in (IMAGE_MEAN, IMAGE_STD))
    return ((images_BCHW + 1) / 2 - mean) / std


def _disturb(images_BCHW: Tensor, generator: torch.Generator) -> Tensor:
    """Slight noise, blur and brightness, so that a decoder's own texture does not mislead the judge."""
    where = images_BCHW.device
    strength, bright, blur = torch.rand(3, len(images_BCHW), 1, 1, 1, generator=generator, device=where)
    noise = torch.randn(images_BCHW.shape, generator=generator, device=where)
    blurred = F.avg_pool2d(images_BCHW, 3, stride=1, padding=1)
    disturbed = torch.lerp(images_BCHW, blurred, blur) * (0.95 + 0.1 * bright) + 0.1 * strength * noise
    return disturbed.clamp(-1, 1)


def contrastive_loss(clip: CLIPModel, token_ids: Tensor, pixels_BCHW: Tensor) -> Tensor:
    """Symmetric cross-entropy between captions and pictures; equal captions in a batch count as one."""
    output = clip(input_ids=token_ids, pixel_values=pixels_BCHW)
    logits = output.logits_per_text.float()
    same = (token_ids[:, None] == token_ids[None]).all(-1)
    target = same.float() / same.sum(1, keepdim=True)
    text_loss = -(target * logits.log_softmax(1)).sum(1).mean()
    image_loss = -(target * logits.T.log_softmax(1)).sum(1).mean()
    return (text_loss + image_loss) / 2


def train_clip(
    name: str, pictures: "Pictures", tokenizer_folder: Path, folder: Path, *, steps: int, batch: int
) -> CLIPModel:
    """Train one CLIP of `TOWERS` on the default size. Every name draws other batches and other first weights."""
    seed = 10 + list(TOWERS).index(name)
    torch.manual_seed(seed)
    device, size = pictures.device, (DEFAULT_SIZE, DEFAULT_SIZE)
    tower = TOWERS[name]
    clip = build_clip(tokenizer_folder, width=tower.width, layers=tower.layers, activation=tower.activation).to(device)
    ids = tokenize(CLIPTokenizer.from_pretrained(tokenizer_folder), pictures.captions[size]).to(device)

    def loss(_: random.Random, generator: torch.Generator) -> Tensor:
        indices = torch.randint(len(ids), (batch,), generator=generator, device=device)
        images = _disturb(pictures.batch(size, indices), generator)
        return contrastive_loss(clip, ids[indices], normalize(images))

    trained = train(f"clip-{name}", clip, loss, steps=steps, peak=1e-3, folder=folder, device=device, seed=seed)
    assert isinstance(trained, CLIPModel)
    return trained

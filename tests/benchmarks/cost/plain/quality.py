"""Is the picture the same?"""

import os
from typing import Any

import numpy as np
import torch
from pipelines import PROMPTS, SEEDS, baseline, compiled, draw
from torchmetrics.functional.image import structural_similarity_index_measure
from transformers import CLIPImageProcessor, CLIPModel, CLIPTokenizer


def values(picture: Any) -> torch.Tensor:
    """Of shape (1, 3, height, width), in [0, 1]."""
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float() / 255


class Clip:
    """CLIP score of a picture and its prompt."""

    def __init__(self) -> None:
        folder = os.environ["JUDGE"]
        self.model = CLIPModel.from_pretrained(folder).eval()
        self.images = CLIPImageProcessor.from_pretrained(folder)
        self.tokens = CLIPTokenizer.from_pretrained(folder)

    @torch.inference_mode()
    def score(self, picture: Any, prompt: str) -> float:
        """Cosine in hundredths."""
        pixels = self.images(picture, return_tensors="pt")["pixel_values"]
        tokens = self.tokens(prompt, return_tensors="pt")
        found = self.model(pixel_values=pixels, **tokens)
        return 100 * float(torch.nn.functional.cosine_similarity(found.image_embeds, found.text_embeds))


def test_quality() -> None:
    """Every picture by SSIM and by the drop of its CLIP score."""
    plain, fast, clip = baseline(), compiled(), Clip()
    for prompt in PROMPTS:
        for seed in SEEDS:
            expected, obtained = draw(plain, prompt, seed), draw(fast, prompt, seed)
            assert structural_similarity_index_measure(values(obtained), values(expected), data_range=1.0) >= 0.99
            assert clip.score(expected, prompt) - clip.score(obtained, prompt) <= 0.5

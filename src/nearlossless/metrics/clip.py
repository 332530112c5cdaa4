"""How well a picture follows its prompt."""

import json
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from nearlossless.cases.case import MINIATURE, CaseError
from nearlossless.miniature import JUDGE as MINIATURE_JUDGE

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

ClipScorer = Callable[["Image.Image", str], float]


class ClipReading(NamedTuple):
    """A picture's CLIP score in [0, 100], and its image embedding of unit length, of shape (D,) in float32."""

    score: float
    features: "np.ndarray"


ClipReader = Callable[["Image.Image", str], ClipReading]


def judge_folder(judge: str) -> Path:
    """
    Where the CLIP of a case lies.

    Raises:
        CaseError: It is neither the miniature's nor a local folder.
    """
    folder = MINIATURE_JUDGE if judge == MINIATURE else Path(judge).expanduser()
    if not folder.is_dir():
        raise CaseError(f"judge '{judge}' is no local folder; download a CLIP model once and name its folder")
    return folder


def embedding_size(folder: Path) -> int | None:
    """How many numbers an embedding of the CLIP in a folder has, where its `config.json` says so."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    size = config.get("projection_dim") if isinstance(config, dict) else None
    return size if isinstance(size, int) else None


def clip_scorer(folder: Path) -> ClipScorer:
    """A function (picture, prompt) -> CLIP score in [0, 100], as `clip_reader` computes it."""
    read = clip_reader(folder)
    return lambda picture, prompt: read(picture, prompt).score


@lru_cache(maxsize=1)
def clip_reader(folder: Path) -> ClipReader:
    """
    A function (picture, prompt) -> score and embedding, with the model in `folder` on the CPU in float32.

    Source: Hessel et al. 2021, arXiv:2104.08718, without its factor; by torchmetrics.
    """
    import torch
    from torchmetrics.functional.multimodal import clip_score
    from transformers import CLIPImageProcessor, CLIPModel, CLIPProcessor, CLIPTokenizer

    from nearlossless.pipelines.libraries import quiet_libraries

    class TensorFeatures(torch.nn.Module):
        """torchmetrics wants tensors where transformers 5 returns an output object."""

        def __init__(self, clip: Any) -> None:
            super().__init__()
            self.clip = clip
            self.config = clip.config  # torchmetrics reads the longest prompt from it
            self.last_text: tuple[Tensor, Any] | None = None  # of one prompt, since its pictures are scored in a row
            self.last_image: Any = None

        def get_image_features(self, pixel_values: "Tensor") -> Any:
            features = self.clip.get_image_features(pixel_values)
            self.last_image = getattr(features, "pooler_output", features)
            return self.last_image

        def get_text_features(self, input_ids: "Tensor", attention_mask: "Tensor") -> Any:
            if self.last_text is None or not torch.equal(self.last_text[0], input_ids):
                features = self.clip.get_text_features(input_ids, attention_mask)
                self.last_text = input_ids, getattr(features, "pooler_output", features)
            return self.last_text[1]

    with quiet_libraries():
        options: dict[str, Any] = {"local_files_only": True}
        clip = CLIPModel.from_pretrained(folder, use_safetensors=True, **options).float().eval()
        processor = CLIPProcessor(
            CLIPImageProcessor.from_pretrained(folder, **options), CLIPTokenizer.from_pretrained(folder, **options)
        )
    model = TensorFeatures(clip)

    def read(picture: "Image.Image", prompt: str) -> ClipReading:
        pixels_CHW = torch.from_numpy(np.array(picture.convert("RGB"))).permute(2, 0, 1)
        with torch.inference_mode():
            score = float(clip_score(pixels_CHW, prompt, model_name_or_path=lambda: (model, processor)))
            features_D = torch.nn.functional.normalize(model.last_image[0], dim=0)
        return ClipReading(score, features_D.numpy())

    return read

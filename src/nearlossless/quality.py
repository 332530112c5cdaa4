"""How alike two pictures are, and how well one follows its prompt."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nearlossless.cases import MINIATURE, CaseError
from nearlossless.miniature import JUDGE as MINIATURE_JUDGE

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

TILES_PER_SIDE = 8
SMALLEST_TILE_PX = 16
_BLACK_LEVEL, _FLAT_DEVIATION, _GREY_CHROMA = 4.0, 2.0, 1.0  # in levels of 255

ClipScorer = Callable[["Image.Image", str], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Similarity:
    """Structural similarity of a picture to another, over the whole and in its worst tile."""

    mean_ssim: float
    worst_tile_ssim: float
    worst_tile_xywh: tuple[int, int, int, int]


def tripwires(picture: "Image.Image") -> list[str]:
    """What broken pipelines draw: black (also from NaN), constant and near-grey pictures. Empty: nothing found."""
    pixels_HWC = np.asarray(picture.convert("RGB"), dtype=np.float32)
    tripped = []
    if pixels_HWC.max() <= _BLACK_LEVEL:
        tripped.append("black")
    if pixels_HWC.std(axis=(0, 1)).max() <= _FLAT_DEVIATION:
        tripped.append("constant")
    if np.ptp(pixels_HWC, axis=2).mean() <= _GREY_CHROMA:
        tripped.append("near-grey")
    return tripped


def tile_side(height: int, width: int) -> int:
    """Side of a square tile: an eighth of the shorter side, at least 16 pixels."""
    return max(SMALLEST_TILE_PX, min(height, width) // TILES_PER_SIDE)


def _to_tensor(picture: "Image.Image") -> "Tensor":
    """Picture of shape (1, 3, H, W) in [0, 1]; float64, since variances of flat areas cancel in float32."""
    import torch

    pixels_HWC = np.asarray(picture.convert("RGB"), dtype=np.float64) / 255
    return torch.from_numpy(pixels_HWC).permute(2, 0, 1)[None]


def ssim(obtained: "Image.Image", expected: "Image.Image") -> Similarity:
    """
    Gaussian structural similarity, as a mean and in the worst tile.

    Args:
        obtained: RGB picture.
        expected: Another of the same size.

    Returns:
        Values in [-1, 1]; 1 means identical.

    Raises:
        ValueError: The sizes differ.

    Source:
        Wang et al. 2004, doi:10.1109/TIP.2003.819861; map by torchmetrics with data_range 1.
    """
    import torch.nn.functional as F
    from torchmetrics.functional.image import structural_similarity_index_measure

    if obtained.size != expected.size:
        raise ValueError(f"sizes differ: obtained {obtained.size}, expected {expected.size}")
    _, map_BCHW = structural_similarity_index_measure(
        _to_tensor(obtained), _to_tensor(expected), data_range=1.0, return_full_image=True
    )
    side = tile_side(obtained.height, obtained.width)
    # A last tile that does not fill its square is averaged over the pixels that it has.
    tiles = F.avg_pool2d(map_BCHW.mean(1, keepdim=True), side, ceil_mode=True, count_include_pad=False)[0, 0]
    row, column = divmod(int(tiles.argmin()), tiles.shape[1])
    x, y = column * side, row * side
    return Similarity(
        mean_ssim=float(map_BCHW.mean()),
        worst_tile_ssim=float(tiles.min()),
        worst_tile_xywh=(x, y, min(side, obtained.width - x), min(side, obtained.height - y)),
    )


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


@lru_cache(maxsize=1)
def clip_scorer(folder: Path) -> ClipScorer:
    """
    A function (picture, prompt) -> CLIP score in [0, 100], with the model in `folder` on the CPU in float32.

    Source: Hessel et al. 2021, arXiv:2104.08718, without its factor; by torchmetrics.
    """
    import torch
    from torchmetrics.functional.multimodal import clip_score
    from transformers import CLIPImageProcessor, CLIPModel, CLIPProcessor, CLIPTokenizer

    from nearlossless.pipelines.loading import quiet_libraries

    class TensorFeatures(torch.nn.Module):
        """torchmetrics wants tensors where transformers 5 returns an output object."""

        def __init__(self, clip: Any) -> None:
            super().__init__()
            self.clip = clip
            self.config = clip.config  # torchmetrics reads the longest prompt from it

        def get_image_features(self, pixel_values: "Tensor") -> Any:
            features = self.clip.get_image_features(pixel_values)
            return getattr(features, "pooler_output", features)

        def get_text_features(self, input_ids: "Tensor", attention_mask: "Tensor") -> Any:
            features = self.clip.get_text_features(input_ids, attention_mask)
            return getattr(features, "pooler_output", features)

    with quiet_libraries():
        options: dict[str, Any] = {"local_files_only": True}
        clip = CLIPModel.from_pretrained(folder, use_safetensors=True, **options).float().eval()
        processor = CLIPProcessor(
            CLIPImageProcessor.from_pretrained(folder, **options), CLIPTokenizer.from_pretrained(folder, **options)
        )
    model = TensorFeatures(clip)

    def score(picture: "Image.Image", prompt: str) -> float:
        pixels_CHW = torch.from_numpy(np.array(picture.convert("RGB"))).permute(2, 0, 1)
        with torch.inference_mode():
            return float(clip_score(pixels_CHW, prompt, model_name_or_path=lambda: (model, processor)))

    return score

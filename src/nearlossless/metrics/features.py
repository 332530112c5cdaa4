"""Features of a picture by a vision model of the user's, for distances between sets of pictures."""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nearlossless.cases.case import CaseError

if TYPE_CHECKING:
    from PIL import Image

FeatureReader = Callable[["Image.Image"], np.ndarray]


@lru_cache(maxsize=1)
def feature_reader(folder: Path) -> FeatureReader:
    """
    A function picture -> pooled features of shape (D,) in float32, by the vision model in a folder, on the CPU.

    Args:
        folder: As `save_pretrained` of a transformers vision model and its image processor writes it, in safetensors.

    Raises:
        CaseError: There is no such folder, no vision model in it, or no weights that can be read safely.
    """
    import torch
    from transformers import AutoImageProcessor, AutoModel

    from nearlossless.pipelines.libraries import quiet_libraries

    if not folder.is_dir():
        raise CaseError(f"features '{folder}' is no local folder; download a vision model once and name its folder")
    try:
        with quiet_libraries():
            processor = AutoImageProcessor.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
            model = AutoModel.from_pretrained(
                folder, local_files_only=True, use_safetensors=True, trust_remote_code=False
            )
    except (OSError, ValueError, KeyError) as error:
        raise CaseError(f"features '{folder}': no vision model can be loaded: {error}") from None
    model = getattr(model, "vision_model", model).float().eval()

    def read(picture: "Image.Image") -> np.ndarray:
        pixels = processor(images=picture.convert("RGB"), return_tensors="pt")["pixel_values"]
        with torch.inference_mode():
            output = model(pixel_values=pixels)
        pooled = getattr(output, "pooler_output", None)
        features_D = pooled if pooled is not None else output.last_hidden_state.mean(1)
        return features_D.flatten().numpy()

    return read

"""The shipped architectures with their own classes and wiring, shrunk to what a CPU draws in a second."""

import json
import shutil
from pathlib import Path
from typing import Any

from nearlossless.cases import Case, Generation, Model
from nearlossless.pipelines.synthetic import ARCHITECTURES
from nearlossless.recipes import Recipe

WIDTH = 64
CLIP = {
    "vocab_size": 1000,
    "hidden_size": 32,
    "intermediate_size": 64,
    "projection_dim": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}
T5 = {"vocab_size": 256, "d_model": WIDTH, "d_kv": 16, "d_ff": 128, "num_layers": 2, "num_heads": 4}
VAE = {"block_out_channels": [16, 32, 32, 32], "layers_per_block": 1, "norm_num_groups": 8}
SD3 = {
    "num_layers": 3,
    "attention_head_dim": 32,
    "num_attention_heads": 2,
    "caption_projection_dim": WIDTH,
    "joint_attention_dim": WIDTH,
    "pooled_projection_dim": 64,
    "pos_embed_max_size": 32,
}
SMALLER: dict[str, dict[str, dict[str, Any]]] = {
    "sd35-large": {"transformer": SD3, "text_encoder": CLIP, "text_encoder_2": CLIP, "text_encoder_3": T5},
    "sd35-medium": {
        "transformer": {**SD3, "dual_attention_layers": [0, 1]},
        "text_encoder": CLIP,
        "text_encoder_2": CLIP,
        "text_encoder_3": T5,
    },
    "flux1-dev": {
        "transformer": {
            "num_layers": 2,
            "num_single_layers": 2,
            "attention_head_dim": 32,
            "num_attention_heads": 2,
            "axes_dims_rope": [8, 12, 12],
            "joint_attention_dim": WIDTH,
            "pooled_projection_dim": 32,
        },
        "text_encoder": CLIP,
        "text_encoder_2": T5,
    },
    "sdxl": {
        "unet": {
            "block_out_channels": [32, 64, 64],
            "norm_num_groups": 8,
            "transformer_layers_per_block": [1, 1, 2],
            "attention_head_dim": [2, 4, 4],
            "cross_attention_dim": 64,
            "addition_time_embed_dim": 8,
            "projection_class_embeddings_input_dim": 80,
        },
        "text_encoder": CLIP,
        "text_encoder_2": CLIP,
    },
}
FAMILIES = tuple(SMALLER)


def shrink(architecture: str, folder: Path) -> Path:
    """Write the shipped configuration files of an architecture to a folder, made smaller."""
    shutil.copytree(ARCHITECTURES / architecture, folder, dirs_exist_ok=True)
    for component, changes in {**SMALLER[architecture], "vae": VAE}.items():
        path = folder / component / "config.json"
        content = json.loads(path.read_text(encoding="utf-8"))
        path.write_text(json.dumps({**content, **changes}), encoding="utf-8")
    return folder


def synthetic_case(source: str | Path, **generation: Any) -> Case:
    """A case of synthetic weights that draws one picture of 64x64 in two steps."""
    settings: dict[str, Any] = {
        "prompts": ("blue ring on a plain yellow background",),
        "seeds": (20,),
        "height": 64,
        "width": 64,
        "steps": 2,
        "guidance_scale": 3.5,
        "sizes": ((64, 64),),
    }
    return Case(
        name="shrunken",
        model=Model(source=str(source), weights="synthetic", dtype={"cpu": "float32"}),
        generation=Generation(**{**settings, **generation}),
        recipes={"inductor": Recipe(backend="inductor")},
    )

"""
The miniature's modules: the classes and the shape of configuration of SD3.5-Large, only small.

Nothing here is trained; the training scripts fill these modules, and `pipelines/loading.py` loads them back.
"""

import json
from pathlib import Path

from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel
from transformers import (
    CLIPConfig,
    CLIPModel,
    CLIPTextConfig,
    CLIPTextModelWithProjection,
    T5Config,
    T5EncoderModel,
)

from nearlossless.miniature.tokenizers import CLIP_END, CLIP_START, MAX_LENGTH

VAE_SCALE = 8  # picture pixels per latent pixel
LATENT_CHANNELS = 16
PATCH = 2  # latent pixels per transformer token
DEFAULT_SIZE = 128
LARGEST_SIZE = 256
SHIFT = 3.0  # of the flow-matching schedule, as in SD3.5
CLIP_WIDTHS = {"text_encoder": 48, "text_encoder_2": 80}
T5_WIDTH = 128  # at least the sum of the CLIP widths, which the pipeline pads to it


def build_vae() -> AutoencoderKL:
    """8x autoencoder with 16 latent channels, no attention and no quant convolutions, as SD3's."""
    return AutoencoderKL(
        block_out_channels=(16, 32, 64, 64),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1,
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=8,
        use_quant_conv=False,
        use_post_quant_conv=False,
        mid_block_add_attention=False,
        sample_size=DEFAULT_SIZE,
    )


def build_transformer() -> SD3Transformer2DModel:
    """4 joint blocks of width 128 with rms qk-norm and no dual attention, as SD3.5-Large's 38."""
    heads, head_dim = 4, 32
    return SD3Transformer2DModel(
        sample_size=DEFAULT_SIZE // VAE_SCALE,
        patch_size=PATCH,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        num_layers=4,
        attention_head_dim=head_dim,
        num_attention_heads=heads,
        caption_projection_dim=heads * head_dim,
        joint_attention_dim=T5_WIDTH,
        pooled_projection_dim=sum(CLIP_WIDTHS.values()),
        pos_embed_max_size=LARGEST_SIZE // VAE_SCALE // PATCH,
        qk_norm="rms_norm",
        dual_attention_layers=(),
    )


def build_scheduler() -> FlowMatchEulerDiscreteScheduler:
    """Flow-match Euler with SD3.5's shift."""
    return FlowMatchEulerDiscreteScheduler(num_train_timesteps=1000, shift=SHIFT)


def clip_text_config(tokenizer_folder: Path, *, width: int, layers: int, activation: str) -> CLIPTextConfig:
    """Configuration of a CLIP text tower for the tokenizer in `tokenizer_folder`."""
    vocabulary = json.loads((tokenizer_folder / "vocab.json").read_text(encoding="utf-8"))
    return CLIPTextConfig(
        vocab_size=len(vocabulary),
        hidden_size=width,
        intermediate_size=4 * width,
        projection_dim=width,
        num_hidden_layers=layers,
        num_attention_heads=width // 16,
        max_position_embeddings=MAX_LENGTH,
        hidden_act=activation,
        bos_token_id=vocabulary[CLIP_START],
        eos_token_id=vocabulary[CLIP_END],
        pad_token_id=vocabulary[CLIP_END],
    )


def build_clip(tokenizer_folder: Path, *, width: int, layers: int, activation: str = "quick_gelu") -> CLIPModel:
    """
    A CLIP whose vision tower sees 128x128 pictures in patches of 8.

    Args:
        tokenizer_folder: Where the CLIP tokenizer of this model lies.
        width: Of the text tower and of the shared space; a multiple of 16.
        layers: Of the text tower; the vision tower has 4.
        activation: "quick_gelu" as in CLIP-L, "gelu" as in CLIP-G.
    """
    text = clip_text_config(tokenizer_folder, width=width, layers=layers, activation=activation)
    vision = {
        "hidden_size": 128,
        "intermediate_size": 384,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "image_size": DEFAULT_SIZE,
        "patch_size": 8,
        "projection_dim": width,
        "hidden_act": "gelu",
    }
    return CLIPModel(CLIPConfig(text_config=text.to_dict(), vision_config=vision, projection_dim=width))


def build_text_tower(clip: CLIPModel) -> CLIPTextModelWithProjection:
    """The text tower of a trained CLIP, as the pipeline uses it; the weights are copied."""
    tower = CLIPTextModelWithProjection(clip.config.text_config)
    wanted = tower.state_dict()
    tower.load_state_dict({name: value for name, value in clip.state_dict().items() if name in wanted})
    return tower


def build_t5() -> T5EncoderModel:
    """Two-layer T5 encoder of width 128 with T5 v1.1's gated feed-forward."""
    return T5EncoderModel(
        T5Config(
            vocab_size=256,
            d_model=T5_WIDTH,
            d_kv=32,
            d_ff=256,
            num_layers=2,
            num_heads=4,
            feed_forward_proj="gated-gelu",
            dropout_rate=0.0,
            pad_token_id=0,
            eos_token_id=1,
            is_encoder_decoder=False,
            use_cache=False,
        )
    )

"""Trained parts -> the folder that ships: diffusers' layout, bf16 safetensors, and the judge beside it."""

import json
import shutil
import tempfile
from pathlib import Path

import torch
from diffusers import AutoencoderKL, StableDiffusion3Pipeline
from transformers import CLIPModel, CLIPTextModelWithProjection, CLIPTokenizer, T5TokenizerFast

from nearlossless.miniature.architecture import DEFAULT_SIZE, VAE_SCALE, build_scheduler
from nearlossless.miniature.tokenizers import write_clip_tokenizer, write_t5_tokenizer
from nearlossless.miniature.training.clip import IMAGE_MEAN, IMAGE_STD
from nearlossless.miniature.training.transformer import Denoiser

# Half of float32's bytes and the same numbers on CPU (float32) and CUDA (bf16).
STORAGE_DTYPE = torch.bfloat16


def write_tokenizers(folder: Path) -> tuple[Path, Path]:
    """Write both tokenizers and return their folders (CLIP, T5)."""
    clip, t5 = folder / "tokenizer-clip", folder / "tokenizer-t5"
    write_clip_tokenizer(clip)
    write_t5_tokenizer(t5)
    return clip, t5


def _export_judge(judge: CLIPModel, clip_tokenizer: Path, folder: Path) -> None:
    judge.to("cpu", STORAGE_DTYPE).save_pretrained(folder)
    for file in clip_tokenizer.iterdir():
        shutil.copy(file, folder / file.name)
    settings = {
        "image_processor_type": "CLIPImageProcessor",
        "do_resize": True,
        "size": {"height": DEFAULT_SIZE, "width": DEFAULT_SIZE},
        "resample": 3,
        "do_center_crop": False,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(IMAGE_MEAN),
        "image_std": list(IMAGE_STD),
        "do_convert_rgb": True,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")


def export(
    folder: Path,
    *,
    vae: AutoencoderKL,
    denoiser: Denoiser,
    towers: list[CLIPTextModelWithProjection],
    judge: CLIPModel,
    clip_tokenizer: Path,
    t5_tokenizer: Path,
) -> None:
    """Write the whole miniature into `folder`; its `pipeline` and `judge` are replaced once both are complete."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".new-") as name:
        _write(Path(name), vae, denoiser, towers, judge, clip_tokenizer, t5_tokenizer)
        for part in ("pipeline", "judge"):
            shutil.rmtree(folder / part, ignore_errors=True)
            (Path(name) / part).rename(folder / part)


def _write(
    folder: Path,
    vae: AutoencoderKL,
    denoiser: Denoiser,
    towers: list[CLIPTextModelWithProjection],
    judge: CLIPModel,
    clip_tokenizer: Path,
    t5_tokenizer: Path,
) -> None:
    pipeline = StableDiffusion3Pipeline(
        transformer=denoiser.transformer,
        scheduler=build_scheduler(),
        vae=vae,
        text_encoder=towers[0],
        tokenizer=CLIPTokenizer.from_pretrained(clip_tokenizer),
        text_encoder_2=towers[1],
        tokenizer_2=CLIPTokenizer.from_pretrained(clip_tokenizer),
        text_encoder_3=denoiser.text_encoder_3,
        tokenizer_3=T5TokenizerFast.from_pretrained(t5_tokenizer),
    )
    assert pipeline.vae_scale_factor == VAE_SCALE
    pipeline.to("cpu", STORAGE_DTYPE).save_pretrained(folder / "pipeline", safe_serialization=True)
    # Our own files, not what the installed version of transformers makes of them: they load on every version.
    for name, source in (("tokenizer", clip_tokenizer), ("tokenizer_2", clip_tokenizer), ("tokenizer_3", t5_tokenizer)):
        shutil.rmtree(folder / "pipeline" / name)
        shutil.copytree(source, folder / "pipeline" / name)
    index_file = folder / "pipeline" / "model_index.json"
    index = json.loads(index_file.read_text(encoding="utf-8"))
    index["tokenizer_3"] = ["transformers", "T5TokenizerFast"]  # transformers 5 knows this name too, 4 only this one
    index_file.write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")
    _export_judge(judge, clip_tokenizer, folder / "judge")

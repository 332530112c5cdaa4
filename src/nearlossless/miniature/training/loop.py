"""One training loop for every part of the miniature: seeded by step, resumable, with a progress bar."""

import copy
import math
import random
import time
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from tqdm import tqdm

CHECKPOINT_EVERY_S = 60.0
WARMUP_SHARE = 0.05
EMA_HALF_LIFE_STEPS = 300


def learning_rate(step: int, *, steps: int, peak: float) -> float:
    """One cycle: a linear warm-up to `peak`, then a cosine down to 1 % of it."""
    warmup = max(1, round(steps * WARMUP_SHARE))
    if step < warmup:
        return peak * (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    return peak * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))


def _optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    return {
        f"optimizer.{name}.{key}": value
        for name, parameter in model.named_parameters()
        for key, value in optimizer.state[parameter].items()
    }


def _save(path: Path, step: int, model: nn.Module, ema: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    tensors |= {f"ema.{name}": value for name, value in ema.state_dict().items()}
    tensors |= _optimizer_tensors(model, optimizer)
    partial = path.with_suffix(".partial")
    # T5 ties tensors: safetensors wants every name to own its memory.
    save_file({name: value.detach().cpu().clone() for name, value in tensors.items()}, partial, {"step": str(step)})
    partial.replace(path)


def _restore(path: Path, model: nn.Module, ema: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    if not path.exists():
        return 0
    with safe_open(path, framework="pt") as file:
        step = int(file.metadata()["step"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    for module, prefix in ((model, "model."), (ema, "ema.")):
        module.load_state_dict({n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)})
    for name, parameter in model.named_parameters():
        keys = [n for n in tensors if n.startswith(f"optimizer.{name}.")]
        optimizer.state[parameter] = {
            n.rpartition(".")[2]: tensors[n] if n.endswith(".step") else tensors[n].to(parameter.device) for n in keys
        }
    return step


def train(
    name: str,
    model: nn.Module,
    loss: Callable[[random.Random, torch.Generator], Tensor],
    *,
    steps: int,
    peak: float,
    folder: Path,
    device: torch.device,
    seed: int = 0,
) -> nn.Module:
    """
    Train `model` for `steps` steps, or for what is left of them after an interruption.

    Args:
        name: Of the checkpoint file and the progress bar.
        model: Holds every parameter to be trained; on `device` already.
        loss: Gets two sources of chance seeded by the step, one for choices on the host and one on `device`;
            draws a batch and returns a scalar.
        steps: Optimizer steps in all.
        peak: Highest learning rate of the cycle.
        folder: Where `<name>.safetensors` is kept.
        device: Of the model; bf16 autocast is used on CUDA only.
        seed: Other batches.

    Returns:
        A copy of the model with exponentially averaged weights.
    """
    path = folder / f"{name}.safetensors"
    ema = copy.deepcopy(model).requires_grad_(False)
    optimizer = torch.optim.AdamW(model.parameters(), lr=peak, weight_decay=0.01, betas=(0.9, 0.99))
    first = _restore(path, model, ema, optimizer)
    ema_pairs = list(zip(ema.parameters(), model.parameters(), strict=True))
    averaged, current = [pair[0].data for pair in ema_pairs], [pair[1].data for pair in ema_pairs]
    saved_at, shown = time.monotonic(), float("nan")
    bar = tqdm(range(first, steps), initial=first, total=steps, desc=name, mininterval=2.0)
    for step in bar:
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, steps=steps, peak=peak)
        chance = random.Random((seed << 32) + step)  # noqa: S311 (no secret)
        generator = torch.Generator(device).manual_seed((seed << 32) + step)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda"):
            value = loss(chance, generator)
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        half_life = min(EMA_HALF_LIFE_STEPS, max(1, step // 4))  # early weights are soon forgotten
        torch._foreach_lerp_(averaged, current, 1 - 0.5 ** (1 / half_life))
        if step % 50 == 0:
            shown = value.item()
            bar.set_postfix(loss=f"{shown:.4f}", refresh=False)
        if time.monotonic() - saved_at > CHECKPOINT_EVERY_S:
            _save(path, step + 1, model, ema, optimizer)
            saved_at = time.monotonic()
    _save(path, steps, model, ema, optimizer)
    return ema

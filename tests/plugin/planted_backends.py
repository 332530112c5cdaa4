"""User backends of the inner runs: one that changes nothing, and planted regressions and misbehaviour."""

import os
import sys
import time
from pathlib import Path
from typing import Any

REPEATS = 15  # slow enough to be told from a machine that other tests keep busy
HOG_BYTES = 512 * 1024**2
LEAK_BYTES = 64 * 1024


def identity(pipeline: Any) -> Any:
    """The pipeline as it is."""
    return pipeline


class Wrapped:
    """A pipeline whose call can be changed; everything else is the wrapped one's."""

    def __init__(self, pipeline: Any) -> None:
        self._pipeline = pipeline

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pipeline, name)

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """The wrapped pipeline's call."""
        return self._pipeline(*arguments, **options)


def slow(pipeline: Any) -> Any:
    """Computes every transformer step several times over."""
    forward = pipeline.transformer.forward

    def repeated(*arguments: Any, **options: Any) -> Any:
        for _ in range(REPEATS - 1):
            forward(*arguments, **options)
        return forward(*arguments, **options)

    pipeline.transformer.forward = repeated
    return pipeline


class Hog(Wrapped):
    """Keeps half a GiB from its first call on."""

    hoard: Any = None

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Allocate once, then draw."""
        import torch

        if self.hoard is None:
            self.hoard = torch.ones(HOG_BYTES, dtype=torch.uint8)
        return super().__call__(*arguments, **options)


def hog(pipeline: Any) -> Any:
    """Takes more memory."""
    return Hog(pipeline)


class Leaky(Wrapped):
    """Keeps 64 KiB more with every call."""

    def __init__(self, pipeline: Any) -> None:
        super().__init__(pipeline)
        self._kept: list[bytearray] = []

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Keep, then draw."""
        self._kept.append(bytearray(b"\1") * LEAK_BYTES)
        return super().__call__(*arguments, **options)


def leaky(pipeline: Any) -> Any:
    """Leaks host memory."""
    return Leaky(pipeline)


class KeepsOutputs(Wrapped):
    """Remembers what every denoising step handed back."""

    def __init__(self, pipeline: Any) -> None:
        super().__init__(pipeline)
        self._seen: list[Any] = []

        def remember(_module: Any, _inputs: Any, output: Any) -> None:
            self._seen.append(output)

        pipeline.transformer.register_forward_hook(remember)


def keeps_outputs(pipeline: Any) -> Any:
    """Leaks tensors."""
    return KeepsOutputs(pipeline)


OUTLIVING: list[Any] = []


def outlives(pipeline: Any) -> Any:
    """Keeps the pipeline for as long as its process lives."""
    OUTLIVING.append(pipeline)
    return pipeline


class OneTileDamaged(Wrapped):
    """Overwrites one tile of an eighth of the side."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Draw, then paint over the third tile of the fifth row."""
        output = super().__call__(*arguments, **options)
        picture = output.images[0]
        tile = picture.width // 8
        picture.paste((255, 0, 255), (2 * tile, 4 * tile, 3 * tile, 5 * tile))
        return output


def one_tile_damaged(pipeline: Any) -> Any:
    """Damages a sixty-fourth of the picture."""
    return OneTileDamaged(pipeline)


class Black(Wrapped):
    """Draws black."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Draw, then paint all of it black."""
        output = super().__call__(*arguments, **options)
        output.images[0].paste((0, 0, 0), (0, 0, *output.images[0].size))
        return output


def black(pipeline: Any) -> Any:
    """Draws black pictures."""
    return Black(pipeline)


def nan_weights(pipeline: Any) -> Any:
    """Replaces one weight of the transformer by NaN, on a copy."""
    import torch

    layer = pipeline.transformer.proj_out
    layer.weight = torch.nn.Parameter(torch.full_like(layer.weight, float("nan")))
    return pipeline


def attention_off(pipeline: Any) -> Any:
    """Scales the attention logits of one block by 2 % too much, on a copy: the pictures hardly change."""
    import torch

    norm = pipeline.transformer.transformer_blocks[2].attn.norm_q
    norm.weight = torch.nn.Parameter(norm.weight.detach() * 1.02)
    return pipeline


def _compile_blocks(pipeline: Any, *, dynamic: bool) -> Any:
    for block in pipeline.transformer.transformer_blocks:
        block.compile(dynamic=dynamic, backend="eager")
    return pipeline


def static_shapes(pipeline: Any) -> Any:
    """Compiles for one size at a time."""
    return _compile_blocks(pipeline, dynamic=False)


def dynamic_shapes(pipeline: Any) -> Any:
    """Compiles for all sizes at once."""
    return _compile_blocks(pipeline, dynamic=True)


class SpecializedSteps(Wrapped):
    """Calls compiled code that is guarded by the number of steps."""

    def __init__(self, pipeline: Any) -> None:
        import torch

        super().__init__(pipeline)

        def planted_step(x: Any, steps: str) -> Any:
            return x * len(steps)

        self._step = torch.compile(planted_step, backend="eager", dynamic=True)

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Run the compiled code, then draw."""
        import torch

        self._step(torch.ones(4), str(options["num_inference_steps"]))
        return super().__call__(*arguments, **options)


def specialized_steps(pipeline: Any) -> Any:
    """Compiles again for another number of steps."""
    return SpecializedSteps(pipeline)


class FailsAtOneSize(Wrapped):
    """Fails at 96x96."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Fail at one size, draw at all others."""
        if (options["height"], options["width"]) == (96, 96):
            raise RuntimeError("planted: out of memory")
        return super().__call__(*arguments, **options)


def fails_at_one_size(pipeline: Any) -> Any:
    """Draws at all sizes but one."""
    return FailsAtOneSize(pipeline)


def raises(pipeline: Any) -> Any:
    """Fails while it is applied."""
    raise RuntimeError("planted: no such kernel")


def returns_none(pipeline: Any) -> Any:
    """Forgets to return the pipeline."""


def returns_number(pipeline: Any) -> Any:
    """Returns no pipeline."""
    return 42


def quits(pipeline: Any) -> Any:
    """Ends the process by exception, as if all were well."""
    sys.exit(0)


def vanishes(pipeline: Any) -> Any:
    """Ends the process without an exception, as if all were well."""
    os._exit(0)


class BreaksAtDraw(Wrapped):
    """Applies well, then fails."""

    def __call__(self, *_: Any, **__: Any) -> Any:
        """Fail."""
        raise ValueError("planted: bad kernel launch")


def breaks_at_draw(pipeline: Any) -> Any:
    """Fails while it draws."""
    return BreaksAtDraw(pipeline)


class QuitsAtDraw(Wrapped):
    """Applies well, then ends the process."""

    def __call__(self, *_: Any, **__: Any) -> Any:
        """Exit, as if all were well."""
        sys.exit(0)


def quits_at_draw(pipeline: Any) -> Any:
    """Ends the process while it draws."""
    return QuitsAtDraw(pipeline)


class DrawsNothing(Wrapped):
    """Returns no picture."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Draw, then lose the picture."""
        output = super().__call__(*arguments, **options)
        output.images = []
        return output


def draws_nothing(pipeline: Any) -> Any:
    """Returns an empty list of pictures."""
    return DrawsNothing(pipeline)


def writes_in_place(pipeline: Any) -> Any:
    """Writes into a weight that it shares with the baseline."""
    import torch

    with torch.no_grad():
        pipeline.transformer.proj_out.weight.mul_(2.0)
    return pipeline


class Sleeps(Wrapped):
    """Never finishes a picture."""

    def __call__(self, *_: Any, **__: Any) -> Any:
        """Hang."""
        time.sleep(600)


def sleeps(pipeline: Any) -> Any:
    """Hangs while it draws."""
    return Sleeps(pipeline)


class SleepsAtFifthCall(Wrapped):
    """Draws four times, then hangs: the first call, the one that shows the effect, the replay, the first to compare."""

    calls = 0

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Draw or hang."""
        self.calls += 1
        if self.calls >= 5:
            Path("asleep").touch()
            time.sleep(600)
        return super().__call__(*arguments, **options)


def sleeps_at_fifth_call(pipeline: Any) -> Any:
    """Hangs while it draws for the fifth time."""
    return SleepsAtFifthCall(pipeline)


def skips(pipeline: Any) -> Any:
    """Asks pytest to skip the gate."""
    import pytest

    pytest.skip("planted: not today")


class SkipsAtDraw(Wrapped):
    """Applies well, then asks pytest to skip the gate."""

    def __call__(self, *_: Any, **__: Any) -> Any:
        """Skip."""
        import pytest

        pytest.skip("planted: not today")


def skips_at_draw(pipeline: Any) -> Any:
    """Asks pytest to skip the gate while it draws."""
    return SkipsAtDraw(pipeline)


class WrongElsewhere(Wrapped):
    """Draws upside down at any size but 64x64."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Draw, then turn the picture if it has another size."""
        output = super().__call__(*arguments, **options)
        if output.images[0].size != (64, 64):
            output.images[0] = output.images[0].rotate(180)
        return output


def wrong_elsewhere(pipeline: Any) -> Any:
    """Right where the quality gate looks, wrong at other sizes."""
    return WrongElsewhere(pipeline)


def alone_in_memory(pipeline: Any) -> Any:
    """Changes nothing, and fails if a damaged pipeline of a former recipe is still alive."""
    import gc

    gc.collect()
    if any(isinstance(thing, OneTileDamaged) for thing in gc.get_objects()):
        raise RuntimeError("a former recipe's pipeline is still in memory")
    return pipeline


def told_by_its_variable(pipeline: Any) -> Any:
    """Works only while the recipe's own value of a variable is in force, at building and in every step."""
    forward = pipeline.transformer.forward

    def check() -> None:
        if os.environ.get("NEXFORT_PLANTED") != "recipe":
            raise RuntimeError(f"NEXFORT_PLANTED is {os.environ.get('NEXFORT_PLANTED')}")

    def checked(*arguments: Any, **options: Any) -> Any:
        check()
        return forward(*arguments, **options)

    check()
    pipeline.transformer.forward = checked
    return pipeline


def _is_replica() -> bool:
    """Whether this is one of the further processes that the speedup is measured in."""
    started_as = getattr(sys.modules["__main__"], "__spec__", None)
    return started_as is not None and started_as.name == "nearlossless.speed.pairing"


def slow_in_replicas(pipeline: Any) -> Any:
    """Computes each step several times over wherever autotuning picks anew, as an unlucky choice of kernels would."""
    return slow(pipeline) if _is_replica() else pipeline


def dies_in_replicas(pipeline: Any) -> Any:
    """Ends its process where it is not the session's."""
    if _is_replica():
        os._exit(7)
    return pipeline

"""
One call of nexfort or OneDiff on a tiny module, in a process that may die of it.

`python -m nearlossless.backends.nexfort_trial` reads one `Task` as JSON from standard input and writes one event a
line to standard output: `{"step": ...}` as it goes, and at the end `{"done": true}`, `{"no_gpu": true}`, or
`{"refused": ...}` for a call that the library rejects, or `{"failed": ...}`. Whatever libraries print goes to
standard error.
"""

import copy
import json
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from nearlossless.processes.streams import private_stdout

API = Literal["transform", "compile", "compile_pipe", "quantize"]
FEATURES = 64  # nexfort leaves linear layers of up to 16 features alone


class Task(BaseModel):
    """What is tried: an API, what it is given, and on what."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    api: API
    options: dict[str, Any] = {}
    device: str
    dtype: str


class Refused(Exception):
    """The library rejects the arguments."""


def _tiny(task: Task) -> tuple[Any, Any]:
    import torch
    from torch import nn

    dtype = getattr(torch, task.dtype)
    module = nn.Sequential(nn.Linear(FEATURES, FEATURES), nn.GELU()).eval().to(task.device, dtype)
    return module, torch.ones(3, FEATURES, device=task.device, dtype=dtype)


def _use(task: Task, module: Any) -> Any:
    """Do to the module what the recipe will do to its components."""
    from nearlossless.backends import nexfort, nexfort_quantization

    options = copy.deepcopy(task.options)
    if task.api == "transform":
        return nexfort.transform_module(module)
    if task.api == "compile":
        return nexfort.compile_module(module, options)
    if task.api == "compile_pipe":
        return nexfort.compile_pipe(SimpleNamespace(transformer=module), options, ignores=()).transformer
    nexfort_quantization.replace_linears(module, options["quant_type"])
    return module


def run(task: Task, tell: Callable[[str], None]) -> None:
    """
    Import, use, call.

    Raises:
        Refused: The library rejects the options.
    """
    import torch

    tell("import of nexfort")
    import nexfort.compilers  # noqa: F401

    if task.api in {"compile", "compile_pipe"}:
        tell("import of onediffx")
        import onediffx  # noqa: F401
    tell(f"{task.api} of a tiny module")
    module, inputs = _tiny(task)
    try:
        with torch.no_grad():
            used = _use(task, module)
    except (ValueError, TypeError) as error:
        if task.api == "transform":  # it takes no options
            raise
        raise Refused(str(error)) from error
    except AssertionError as error:
        if "quant_type" not in str(error):
            raise
        raise Refused(str(error)) from error
    tell(f"first call after {task.api}")
    with torch.no_grad():
        used(inputs)
        if task.device == "cuda":
            torch.cuda.synchronize()  # kernels fail later than their call


def main() -> None:
    """Run the task on standard input."""
    pipe = private_stdout()

    def send(**event: Any) -> None:
        pipe.write(json.dumps(event) + "\n")

    task = Task.model_validate_json(sys.stdin.read())
    send(step="import of torch")
    try:
        import torch

        if task.device == "cuda" and not torch.cuda.is_available():
            send(no_gpu=True)
            return
        run(task, lambda step: send(step=step))
    except Refused as error:
        send(refused=str(error))
    except Exception as error:  # what cannot be caught ends the process, and the parent sees that
        send(failed=f"{type(error).__name__}: {error}", module=getattr(error, "name", None))
        raise
    else:
        send(done=True)


if __name__ == "__main__":
    main()

"""What a process and its parent say to each other, and what is left of what libraries print."""

import json
import os
import sys
import threading
from collections.abc import Callable
from typing import IO, Any, TextIO

from pydantic import BaseModel

from nearlossless.memory.peaks import is_out_of_memory

_TAIL_LINES, _TAIL_BYTES = 15, 1 << 16


def private_stdout() -> TextIO:
    """The pipe to the parent; afterwards file descriptor 1 is standard error, so that no library can write into it."""
    pipe = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)
    return pipe


def _end_with_parent() -> None:
    """The parent keeps standard input open as long as it lives; without it nobody waits for the result."""
    sys.stdin.read()
    os._exit(1)


def answer(respond: Callable[[str, Callable[[str], None]], BaseModel]) -> None:
    """Answer the line on standard input: phases as they begin, at last the result, or the error that ended it."""
    pipe = private_stdout()

    def send(**event: Any) -> None:
        print(json.dumps(event), file=pipe, flush=True)

    try:
        line = sys.stdin.readline()
        threading.Thread(target=_end_with_parent, daemon=True).start()
        result = respond(line, lambda phase: send(phase=phase))
    except BaseException as error:  # the parent turns it into a verdict
        send(error=str(error), kind=type(error).__name__, out_of_memory=is_out_of_memory(error))
        raise
    send(result=result.model_dump(mode="json"))


def tail(stderr: IO[bytes]) -> str:
    """The last lines of what a process printed."""
    size = stderr.seek(0, os.SEEK_END)
    stderr.seek(max(0, size - _TAIL_BYTES))
    lines = stderr.read().decode("utf-8", "replace").strip().splitlines()[-_TAIL_LINES:]
    return "\n".join(lines)

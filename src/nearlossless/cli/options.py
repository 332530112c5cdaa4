"""Options that several commands take."""

from pathlib import Path
from typing import Annotated

import typer

Baselines = Annotated[Path, typer.Option("--baselines", metavar="DIR", help="Folder of case folders.")]
DeviceName = Annotated[
    str | None, typer.Option(help="cpu or cuda; default: cuda where there is one and the case allows it.")
]

"""The pages' templates: whatever is put into one is escaped, and a page runs and loads nothing but its own."""

import base64
import hashlib
from pathlib import Path
from typing import Any
from urllib.parse import quote

from nearlossless.printable import printable

_TEMPLATES = Path(__file__).parent / "templates"


def _shown(value: Any) -> Any:
    """Control characters as what they are called: in a page they would hide or turn round what stands beside them."""
    return printable(value) if type(value) is str else value


def template(name: str) -> Any:
    """A page's template; everything that is put into it is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["address"] = quote
    return environment.get_template(name)


def inlined() -> dict[str, str]:
    """The style sheet and the script that a page holds, and the policy that allows these two and pictures only."""
    from markupsafe import Markup

    style, script = ((_TEMPLATES / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    policy = (
        f"default-src 'none'; base-uri 'none'; form-action 'none'; img-src data: 'self' file:;"
        f" style-src {_hash(style)}; script-src {_hash(script)}"
    )
    return {"style": Markup(style), "script": Markup(script), "policy": policy}  # noqa: S704 (files of this package)


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}'"

"""`baselines/<case>/case.toml` -> Case, with errors that name file, key and what is allowed."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from nearlossless.cases.case import Case, CaseError

CASE_FILE = "case.toml"


def _explain(error: ValidationError, path: Path) -> str:
    lines = [f"{path}: {error.error_count()} problem(s)"]
    for problem in error.errors():
        key = ".".join(str(part) for part in problem["loc"]) or "(file)"
        message = problem["msg"]
        if problem["type"] == "extra_forbidden":
            message = "unknown key"
            allowed = _allowed_keys(problem["loc"])
            if allowed:
                message += f"; allowed here: {', '.join(allowed)}"
        lines.append(f"  {key}: {message}")
    return "\n".join(lines)


def _allowed_keys(location: tuple[int | str, ...]) -> list[str]:
    model: Any = Case
    for part in location[:-1]:
        if isinstance(model, type) and issubclass(model, BaseModel) and part in model.model_fields:
            model = model.model_fields[str(part)].annotation
        model = _nested_model(model)
        if model is None:
            return []
    return sorted(set(model.model_fields) - {"name"})


def _nested_model(annotation: Any) -> type[BaseModel] | None:
    """The model inside `annotation`, through dict[...], tuple[...] and unions."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        found = _nested_model(argument)
        if found is not None:
            return found
    return None


def parse_case(name: str, content: Mapping[str, Any], path: Path) -> Case:
    """Check what a case file says; `path` is only named in errors."""
    if "name" in content:
        raise CaseError(f"{path}: a case has the name of its folder, '{name}'; remove the key 'name'")
    try:
        return Case(name=name, **content)
    except ValidationError as error:
        raise CaseError(_explain(error, path)) from None


def load_case(folder: Path) -> Case:
    """
    Read `<folder>/case.toml`.

    Raises:
        CaseError: The file is missing, is not TOML, or says something that is not allowed; names file and key.
    """
    path = folder / CASE_FILE
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CaseError(f"{path}: cannot be read ({error.strerror})") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CaseError(f"{path}: is not valid TOML: {error}") from None
    return parse_case(folder.name, content, path)


def case_names(baselines: Path) -> list[str]:
    """
    Names of the cases under a baselines folder.

    Raises:
        CaseError: There is none.
    """
    names = sorted(path.parent.name for path in baselines.glob(f"*/{CASE_FILE}"))
    if not names:
        raise CaseError(f"{baselines}: no case here; a case is a folder with a {CASE_FILE}")
    return names


def find_case(baselines: Path, name: str) -> Case:
    """The case called `name`; an unknown name is a CaseError that lists the known ones."""
    known = case_names(baselines)
    if name not in known:
        raise CaseError(f"no case '{name}' in {baselines}; there is: {', '.join(known)}")
    return load_case(baselines / name)

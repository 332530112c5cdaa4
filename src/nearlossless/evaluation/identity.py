"""What decides the results of an evaluation: a folder is gone on with only where all of it is the same."""

import hashlib
import importlib.util
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from nearlossless.evaluation.prompts import PromptSet
from nearlossless.metrics.clip import judge_folder
from nearlossless.pipelines.loading import weights_digest
from nearlossless.runs.selection import Subject

DRAWN = {"height", "width", "steps", "guidance_scale", "max_sequence_length"}
APPLIED = {"backend", "touches", "quantization", "environment", "options"}


class RunIdentity(BaseModel):
    """What decides the results of a run; a folder holds the results of one identity."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: int = 1
    case: str
    recipe: str
    device: str
    prompts_sha256: str
    prompts: int
    settings: dict[str, Any]  # of model, generation and recipe
    threads: int | None
    picture: dict[str, Any] | None = None  # picture identity; known once a pipeline is built
    stack: dict[str, str] | None = None

    def differences(self, other: "RunIdentity") -> list[str]:
        """One line for each field that differs, as `field: other -> this`; what one does not know yet is left out."""
        mine, theirs = _flat(self.model_dump()), _flat(other.model_dump())
        return [
            f"{name}: {theirs.get(name)} -> {mine.get(name)}"
            for name in sorted(mine.keys() | theirs.keys())
            if mine.get(name) != theirs.get(name)
            and not (name.startswith(("picture", "stack")) and None in (self.picture, other.picture))
        ]


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{prefix}{name}.")
        else:
            found[prefix + name] = value
    return found


def identity_of(subject: Subject, prompts: PromptSet, *, features: str | None, threads: int | None) -> RunIdentity:
    """The identity of a run before any pipeline is built; bands may change between start and resume."""
    case = subject.case
    return RunIdentity(
        case=case.name,
        recipe=subject.recipe_name,
        device=subject.device,
        prompts_sha256=prompts.sha256,
        prompts=len(prompts),
        settings={
            "model": case.model.model_dump(mode="json"),
            "generation": case.generation.model_dump(mode="json", include=DRAWN),
            "recipe": subject.recipe.model_dump(mode="json", include=APPLIED),
            "backend_sha256": _source_sha256(subject.recipe.backend) if not subject.recipe.is_built_in else None,
            "judge": case.judge and weights_digest(judge_folder(case.judge)),
            "features": features and weights_digest(Path(features).expanduser()),
        },
        threads=threads,
    )


def _source_sha256(backend: str) -> str | None:
    """Of the file that holds a user's backend: what it drew before it was edited is another recipe's."""
    try:
        found = importlib.util.find_spec(backend.partition(":")[0])
    except (ImportError, ValueError):
        return None
    if found is None or found.origin is None or not Path(found.origin).is_file():
        return None
    return hashlib.sha256(Path(found.origin).read_bytes()).hexdigest()

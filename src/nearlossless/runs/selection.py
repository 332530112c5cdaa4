"""Which (case, recipe, device) combinations a run is about, from names and options."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from pydantic import ValidationError

from nearlossless.cases.case import Case, CaseError
from nearlossless.cases.files import case_names, find_case, load_case
from nearlossless.cases.recipes import Recipe
from nearlossless.cases.thresholds import Thresholds
from nearlossless.cases.waivers import Waiver
from nearlossless.environment import hardware_name
from nearlossless.fields import Device


@dataclass(frozen=True, kw_only=True, eq=False)  # one object a session: pytest compares all with all as it sorts tests
class Subject:
    """One (case, recipe) on one device: what every gate judges."""

    case: Case
    case_folder: Path
    recipe_name: str
    recipe: Recipe
    device: Device
    is_named: bool  # False for a backend that was given on the command line
    _measured: list[str] = field(default_factory=list, init=False, repr=False)

    @property
    def id(self) -> str:
        """`case-device-recipe`, as test ids show it."""
        return f"{self.case.name}-{self.device}-{self.recipe_name}"

    @cached_property
    def thresholds(self) -> Thresholds:
        """The thresholds in force on this machine."""
        return self.thresholds_on(hardware_name(self.device))

    def thresholds_on(self, hardware: str) -> Thresholds:
        """Those in force on a machine with this GPU, or these CPU instructions; of none of them where it is empty."""
        return self.case.thresholds_for(self.recipe_name if self.is_named else None, self.device, hardware)

    @property
    def baseline_does_not_fit(self) -> str | None:
        """Why no baseline can be run on this machine: absolute thresholds judge alone. None where it can."""
        return self.declared_not_to_fit or next(iter(self._measured), None)

    @cached_property
    def declared_not_to_fit(self) -> str | None:
        """The case's own reason."""
        return self.case.baseline_does_not_fit(self.device, hardware_name(self.device))

    def baseline_ran_out_of_memory(self, said: str) -> None:
        """From now on there is no baseline: it was tried, alone in a process, and did not fit."""
        self._measured.append(f"the baseline ran out of memory (OOM) on {hardware_name(self.device)}: {said}")

    @property
    def waivers(self) -> tuple[Waiver, ...]:
        """The case's waivers that are about this recipe on this device."""
        found = self.case.waivers if self.is_named else ()
        return tuple(w for w in found if w.recipe == self.recipe_name and w.device in {None, self.device})

    @property
    def no_pictures(self) -> str | None:
        """Why no picture is compared; None where pictures are."""
        is_synthetic = self.case.model.weights == "synthetic"
        return "synthetic weights draw no pictures worth comparing" if is_synthetic else None


def _selected_cases(baselines: Path, names: Sequence[str]) -> list[Case]:
    if names:
        return [find_case(baselines, name) for name in dict.fromkeys(names)]
    cases = [case for case in (load_case(baselines / name) for name in case_names(baselines)) if case.default]
    if not cases:
        raise CaseError(f"{baselines}: no case runs by default; choose with --case: {', '.join(case_names(baselines))}")
    return cases


def replicated(case: Case, processes: int) -> Case:
    """The case with its speedup measured in at least so many processes."""
    if processes <= case.sampling.processes:
        return case
    return case.model_copy(update={"sampling": case.sampling.model_copy(update={"processes": processes})})


def _selected_recipes(case: Case, names: Sequence[str], backend: str | None) -> dict[str, tuple[Recipe, bool]]:
    chosen = {name: (case.recipes[name], True) for name in dict.fromkeys(names) if name in case.recipes}
    if backend is not None:
        try:
            recipe = Recipe.model_validate({"backend": backend})
        except ValidationError as error:
            raise CaseError(f"--backend {backend}: {error.errors()[0]['msg']}") from None
        chosen[backend.replace(":", ".")] = (recipe, False)
    if not names and backend is None:
        chosen = {name: (recipe, True) for name, recipe in case.recipes.items() if recipe.default}
    return chosen


def select_subjects(
    baselines: Path,
    *,
    cases: Sequence[str] = (),
    recipes: Sequence[str] = (),
    backend: str | None = None,
    processes: int = 1,
) -> list[Subject]:
    """
    Every selected case under every selected recipe, on every device that the case and the recipe name.

    Args:
        baselines: Folder of case folders.
        cases: Names; empty takes all that run by default.
        recipes: Names; empty takes all of each case that run by default, or none where a backend is given.
        backend: `package.module:function`, or a built-in backend, tried under the cases' default thresholds.
        processes: How many the speedup is measured in at least, whatever the case says.

    Raises:
        CaseError: A name that does not exist, or nothing selected, of all cases or of one that was named; the message
            lists what there is.
    """
    selected = [replicated(case, processes) for case in _selected_cases(baselines, cases)]
    known = sorted({name for case in selected for name in case.recipes})
    unknown = [name for name in recipes if name not in known]
    if unknown:
        names = ", ".join(case.name for case in selected)
        raise CaseError(f"no recipe {', '.join(map(repr, unknown))} in {names}; there is: {', '.join(known)}")
    subjects = [
        Subject(
            case=case,
            case_folder=baselines / case.name,
            recipe_name=name,
            recipe=recipe,
            device=device,
            is_named=is_named,
        )
        for case in selected
        for device in case.devices
        for name, (recipe, is_named) in _selected_recipes(case, recipes, backend).items()
        if recipe.devices is None or device in recipe.devices
    ]
    gated = {subject.case.name for subject in subjects}
    for case in selected if cases else ():  # who names a case does not want it left out in silence
        if case.name not in gated:
            raise CaseError(f"nothing to gate in {case.name} on {', '.join(case.devices)}: {_recipes_told(case)}")
    if not subjects:
        names = ", ".join(case.name for case in selected)
        raise CaseError(f"nothing to gate in {names}: choose a recipe with --recipe; there is: {', '.join(known)}")
    return subjects


def _recipes_told(case: Case) -> str:
    """A case's recipes, each with the devices that it keeps to."""
    told = [f"{name} ({', '.join(r.devices)} only)" if r.devices else name for name, r in case.recipes.items()]
    return f"choose one of its recipes with --recipe; there is: {', '.join(told)}"

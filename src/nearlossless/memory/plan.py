"""Will it fit? Weights counted and a peak estimated before anything is downloaded or a GPU is paid for."""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from nearlossless.cases.case import Case, CaseError
from nearlossless.cases.recipes import Recipe
from nearlossless.fields import Device
from nearlossless.gates import GIB

if TYPE_CHECKING:
    from nearlossless.pipelines.weights import ComponentWeights

CARDS = Path(__file__).parent / "cards.toml"
# Of a card's published size. An NVIDIA H100 80GB has 79.1 GiB for torch; contexts and libraries take some more.
USABLE: Final = 0.98
# All beside the weights, at PIXELS in 2-byte floats: the published peak of SD3.5-Large in bf16 (28.525 GiB, OneDiff on
# an NVIDIA H20) less its weights and buffers (25.724 GiB).
ACTIVATIONS_GIB: Final = 2.801
PIXELS: Final = 1024 * 1024
HEADINGS: Final = ("component", "parameters", "quantized layers", "GiB")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a case needs under a recipe."""

    title: str
    components: "Sequence[ComponentWeights]"
    resident_bytes: int  # of the weights that lie on the device at the same time
    activation_bytes: int
    loading_bytes: int  # the highest point on the way there

    @property
    def weight_bytes(self) -> int:
        """Of all components."""
        return sum(component.bytes for component in self.components)

    @property
    def peak_gib(self) -> float:
        """The estimated steady peak."""
        return (self.resident_bytes + self.activation_bytes) / GIB

    @property
    def needed_gib(self) -> float:
        """The higher of the steady peak and the one while loading."""
        return max(self.peak_gib, self.loading_bytes / GIB)

    def fits(self, gib: float) -> bool:
        """Whether the estimate stays within so much memory."""
        return self.needed_gib <= gib

    def rows(self) -> list[tuple[str, str, str, str]]:
        """The table's cells, components first."""
        rows = [
            (each.name, f"{each.parameters:,}", str(each.quantized_layers or "-"), f"{each.parameter_bytes / GIB:.3f}")
            for each in self.components
        ]
        buffers = sum(each.buffer_bytes for each in self.components)
        rows.append(("position tables, other buffers", "", "", f"{buffers / GIB:.3f}"))
        count = f"{sum(each.parameters for each in self.components):,}"
        rows.append(("all weights", count, "", f"{self.weight_bytes / GIB:.3f}"))
        if self.resident_bytes != self.weight_bytes:
            rows.append(("on the GPU at a time", "", "", f"{self.resident_bytes / GIB:.3f}"))
        rows.append(("activations (estimate)", "", "", f"{self.activation_bytes / GIB:.3f}"))
        rows.append(("steady peak (estimate)", "", "", f"{self.peak_gib:.3f}"))
        rows.append(("peak while loading (estimate)", "", "", f"{self.loading_bytes / GIB:.3f}"))
        return rows


def plan(case: Case, recipe_name: str | None = None, recipe: Recipe | None = None) -> Plan:
    """
    The plan of a case on its GPU, or on the CPU if it names no other device.

    Args:
        case: What is loaded and drawn.
        recipe_name: One of the case's recipes; None: `recipe`, or else the baseline.
        recipe: One that the case does not name.

    Raises:
        CaseError: No such recipe, or nothing to count the weights from.
        BackendError: The recipe cannot restructure a component.
    """
    from nearlossless.pipelines.weights import weights_of

    if recipe_name is not None and recipe is None:
        if recipe_name not in case.recipes:
            raise CaseError(f"case '{case.name}' has no recipe '{recipe_name}'; there is: {', '.join(case.recipes)}")
        recipe = case.recipes[recipe_name]
    device: Device = "cuda" if "cuda" in case.devices else "cpu"
    components = weights_of(case, recipe, device)
    return Plan(
        title=f"{case.name} / {recipe_name or 'baseline'} / {device}",
        components=components,
        resident_bytes=_resident(components, case.model.offload),
        activation_bytes=_activations(case, device),
        loading_bytes=_loading(components, case.model.offload),
    )


def _resident(components: "Sequence[ComponentWeights]", offload: str | None) -> int:
    """What lies on the device at the same time: everything, the largest component, or the largest layer."""
    if offload == "model":
        return max(component.bytes for component in components)
    if offload == "sequential":
        return max(component.largest_layer_bytes for component in components)
    return sum(component.bytes for component in components)


def _loading(components: "Sequence[ComponentWeights]", offload: str | None) -> int:
    """Each component comes whole, beside those that are there already; what is quantized comes first."""
    if offload is not None:  # one at a time, as it came; layer by layer nothing is quantized
        return _resident(components, offload) if offload == "sequential" else max(c.loaded_bytes for c in components)
    there = peak = 0
    for component in sorted(components, key=lambda c: (not c.quantized_layers, -c.loaded_bytes)):
        peak = max(peak, there + component.loaded_bytes)
        there += component.bytes
    return peak


def _activations(case: Case, device: Device) -> int:
    """The one constant, in proportion to what is decoded at once; a decoder's tile is counted as `PIXELS`."""
    drawn, width = case.generation, 4 if case.model.dtype[device] == "float32" else 2
    pixels = drawn.height * drawn.width
    pixels = min(pixels, PIXELS) if case.model.vae_tiling else pixels
    pictures = 1 if case.model.vae_slicing else drawn.batch_size
    return round(ACTIVATIONS_GIB * GIB * pixels * pictures * width / (PIXELS * 2))


def cards() -> dict[str, float]:
    """Usable GiB of common GPUs, nominal: a share of the size that NVIDIA publishes."""
    return {name: USABLE * size for name, size in tomllib.loads(CARDS.read_text(encoding="utf-8")).items()}


def card_gib(name: str) -> float:
    """
    Usable GiB of a card, by its name in any case, with or without "NVIDIA".

    Raises:
        CaseError: It is not in the table, which the message lists.
    """
    sizes = {card.lower(): gib for card, gib in cards().items()}
    wanted = name.lower().removeprefix("nvidia ").strip()
    if wanted not in sizes:
        raise CaseError(f"no card '{name}'; there is: {', '.join(cards())}; or give the memory itself with --gib")
    return sizes[wanted]


def answer(found: Plan, gib: float | None, card: str | None) -> str:
    """One sentence: whether the estimate fits; of no card in particular, which ones it fits."""
    if gib is None:
        fitting = [name for name, size in cards().items() if found.fits(size)]
        return f"by this estimate it fits: {', '.join(fitting) or 'none of the known cards'}"
    where = f"{card} ({gib:.1f} GiB usable, nominal)" if card is not None else f"{gib:g} GiB"
    verb = "fits" if found.fits(gib) else "does not fit"
    return (
        f"by this estimate it {verb} {where}: {found.needed_gib:.3f} GiB needed, {gib - found.needed_gib:+.3f} GiB left"
    )

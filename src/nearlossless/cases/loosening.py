"""Layers of thresholds: a more specific one may loosen what a more general one requires only with a reason."""

from collections.abc import Iterator, Sequence

from nearlossless.cases.thresholds import Thresholds
from nearlossless.fields import Layer

NamedLayer = tuple[str, Thresholds]  # the table in the case file, and what it sets


def merged(layers: Sequence[NamedLayer]) -> Thresholds:
    """What all layers together require, the most general first."""
    required = Thresholds()
    for _, layer in layers:
        required = required.overridden_by(layer)
    return required


def loosened_without_reason(layers: Sequence[NamedLayer]) -> Iterator[str]:
    """One line for each threshold that a layer loosens without saying because of what."""
    for number, (table, layer) in enumerate(layers):
        if layer.because is not None or not layer.model_fields_set:
            continue
        general = merged(layers[:number])
        for name, value in _set_by(layer):
            former = general.value(name)  # a default, too, is required
            if former is not None and is_looser(name, value, former):
                yield (
                    f"[{table}] loosens {name} from {former:g} to {value:g} without a reason:"
                    ' add because = "..." to that table'
                )


def is_looser(name: str, value: float, former: float) -> bool:
    """
    Whether a threshold lets more through than a former one: a higher ceiling (max_), a lower floor (min_).

    A band's count of pictures is a ceiling, too: it judges no more of them than it was set for.
    """
    words = name.replace(".", "_").split("_")
    is_ceiling = "max" in words or words[-1] == "pictures"
    return (value > former and is_ceiling) or (value < former and "min" in words)


def _set_by(layer: Layer, prefix: str = "") -> Iterator[tuple[str, float]]:
    """The thresholds that a layer sets itself, bands figure by figure."""
    for name in type(layer).model_fields:
        value = getattr(layer, name) if name in layer.model_fields_set else None
        if isinstance(value, Layer):
            yield from _set_by(value, f"{prefix}{name}.")
        elif value is not None:
            yield f"{prefix}{name}", float(value)

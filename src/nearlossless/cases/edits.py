"""Thresholds written into the text of a `case.toml`, with everything else in it left as it is."""

from collections.abc import Collection, Mapping
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import InlineTable


class EditError(Exception):
    """A case file into which nothing can be written safely; says what to change by hand."""


def with_thresholds(
    text: str,
    hardware: str,
    recipe: str,
    values: Mapping[str, tuple[float, str]],
    *,
    because: str,
    replaced: Collection[str] = (),
) -> str:
    """
    The text with thresholds in `[overrides."<hardware>".recipes.<recipe>]`; what else stands there does not change.

    Args:
        text: Of a case file; formatting and comments are kept.
        hardware: Key of the override.
        recipe: Name of the recipe.
        values: Threshold -> value and the comment behind it; a dot leads into a band, as in `live.min_ssim`.
        because: The table's reason; where it has one already, a comment above the new lines.
        replaced: Thresholds that may already stand there, and then get the new value in place.

    Raises:
        EditError: One of the thresholds already stands there, or the file is laid out so that it cannot be extended.
    """
    header = f'[overrides."{hardware}".recipes.{recipe}]'
    try:
        document = tomlkit.parse(text)
        table = _table_of(document, ("overrides", hardware, "recipes", recipe), header)
        standing = {name for name in values if _stands_in(table, name.split("."))}
        if present := sorted(standing - set(replaced)):
            raise EditError(f"{header} already has {', '.join(present)}; nothing is overwritten")
        _fill(table, values, standing, because)
        return tomlkit.dumps(document).rstrip("\n") + "\n"
    except (TOMLKitError, AttributeError, TypeError, ValueError) as error:
        raise EditError(f"{header} cannot be added ({error}); add the lines by hand") from error


def _table_of(document: Any, path: tuple[str, ...], header: str) -> Any:
    table = document
    for number, key in enumerate(path, start=1):
        if key not in table:
            table[key] = tomlkit.table(is_super_table=number < len(path))
        table = table[key]
        if isinstance(table, InlineTable):
            raise EditError(f"write '{key}' as a table of its own, {header}, so that comments find a place in it")
    return table


def _stands_in(table: Any, path: list[str]) -> bool:
    for key in path:
        if key not in table:
            return False
        table = table[key]
    return True


def _fill(table: Any, values: Mapping[str, tuple[float, str]], standing: Collection[str], because: str) -> None:
    if "because" in table:
        table.add(tomlkit.comment(one_line(because)))
    else:
        table.add("because", one_line(because))
    for name, (value, basis) in values.items():
        item = tomlkit.item(value)
        item.comment(one_line(basis))
        if name in standing:
            _replace(table, name.split("."), item)
        else:
            table.add(tomlkit.key(name.split(".")), item)
    table.add(tomlkit.nl())


def _replace(table: Any, path: list[str], item: Any) -> None:
    for key in path[:-1]:
        table = table[key]
    table[path[-1]] = item


def one_line(text: str) -> str:
    """Text as a comment can hold it: one line, no control characters."""
    return " ".join("".join(mark if mark.isprintable() else " " for mark in text).split())

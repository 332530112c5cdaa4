"""Thresholds written into the text of a `case.toml`, with everything else in it left as it is."""

from collections.abc import Mapping
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import InlineTable


class EditError(Exception):
    """A case file into which nothing can be written safely; says what to change by hand."""


def with_thresholds(
    text: str, hardware: str, recipe: str, values: Mapping[str, tuple[float, str]], *, comment: str
) -> str:
    """
    The text with thresholds added to `[overrides."<hardware>".recipes.<recipe>]`; nothing that stands there changes.

    Args:
        text: Of a case file; formatting and comments are kept.
        hardware: Key of the override.
        recipe: Name of the recipe.
        values: Threshold -> value and the comment behind it; a dot leads into a band, as in `live.min_ssim`.
        comment: Stands above the new lines.

    Raises:
        EditError: One of the thresholds already stands there, or the file is laid out so that it cannot be extended.
    """
    header = f'[overrides."{hardware}".recipes.{recipe}]'
    try:
        document = tomlkit.parse(text)
        table = document
        for key in ("overrides", hardware, "recipes", recipe):
            if key not in table:
                table[key] = tomlkit.table(is_super_table=key != recipe)
            table = table[key]
            if isinstance(table, InlineTable):
                raise EditError(f"write '{key}' as a table of its own, {header}, so that comments find a place in it")
        present = sorted(name for name in values if _stands_in(table, name.split(".")))
        if present:
            raise EditError(f"{header} already has {', '.join(present)}; nothing is overwritten")
        table.add(tomlkit.comment(one_line(comment)))
        for name, (value, basis) in values.items():
            item = tomlkit.item(value)
            item.comment(one_line(basis))
            table.add(tomlkit.key(name.split(".")), item)
        table.add(tomlkit.nl())
        return tomlkit.dumps(document).rstrip("\n") + "\n"
    except (TOMLKitError, AttributeError, TypeError, ValueError) as error:
        raise EditError(f"{header} cannot be added ({error}); add the lines by hand") from error


def _stands_in(table: Any, path: list[str]) -> bool:
    for key in path:
        if key not in table:
            return False
        table = table[key]
    return True


def one_line(text: str) -> str:
    """Text as a comment can hold it: one line, no control characters."""
    return " ".join("".join(mark if mark.isprintable() else " " for mark in text).split())

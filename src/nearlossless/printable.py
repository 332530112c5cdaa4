"""Text of strangers (prompts, records, what programs printed) as a terminal, a page or a file of XML can hold it."""


def printable(text: str) -> str:
    r"""Control characters as what they are called, such as `\x1b`; line breaks and tabs stay."""
    return text if text.isprintable() else "".join(c if c in "\n\t" else _named(c) for c in text)


def quoted(text: str) -> str:
    r"""A name in quotes and on one line: line breaks, too, are called by their names, such as `\n`."""
    return f"'{''.join(map(_named, text))}'"


def _named(character: str) -> str:
    return character if character.isprintable() else ascii(character)[1:-1]

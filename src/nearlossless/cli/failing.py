"""How a command ends that cannot do what it was asked."""

import typer

from nearlossless.printable import printable


def fail(message: object) -> typer.Exit:
    """Print an error, of a file its name and what is wrong with it, and hand back what ends the program with code 2."""
    if isinstance(message, OSError) and message.filename is not None:
        message = f"{message.filename}: {message.strerror}"
    typer.secho(printable(f"error: {message}"), fg="red", err=True)
    return typer.Exit(2)

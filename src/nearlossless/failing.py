"""How a command ends that cannot do what it was asked."""

import typer


def fail(message: object) -> typer.Exit:
    """Print an error and hand back what ends the program with exit code 2."""
    typer.secho(f"error: {message}", fg="red", err=True)
    return typer.Exit(2)

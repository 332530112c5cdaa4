"""The noise floor as a table: one row a benign change, each figure the worst of all pictures."""

from nearlossless.noise import Movement, NoiseFloor, worst_of
from nearlossless.report.console import console_of

_HEADINGS = ("worst SSIM", "PSNR dB", "p99", "largest", "shift", "colour")


def _row(movement: Movement) -> tuple[str, ...]:
    if not movement.scores:
        return (movement.change, "not possible here", *[""] * (len(_HEADINGS) - 1))
    worst = worst_of(movement.scores)
    psnr = "inf" if worst.min_psnr_db is None else f"{worst.min_psnr_db:.1f}"
    return (
        movement.change,
        f"{worst.min_ssim:.5f}",
        psnr,
        f"{worst.max_p99_difference:.0f}",
        f"{worst.max_difference:.0f}",
        f"{worst.max_channel_shift:.3f}",
        f"{worst.max_colour_difference:.5f}",
    )


def repeats_line(floor: NoiseFloor) -> str:
    """What repeating the same call gave, in words."""
    if max(floor.distinct) == 1:
        return f"drawn {floor.repeats} times, every picture is the same to the bit"
    if floor.jumps:
        versions = ", ".join(str(count) for count in floor.distinct)
        return f"drawn {floor.repeats} times, pictures jump between a few versions: {versions} of each"
    return f"drawn {floor.repeats} times, pictures are another each time"


def render_noise(floor: NoiseFloor, *, colour: bool) -> str:
    """The table and the line about repeats as text."""
    from rich.table import Table
    from rich.text import Text

    title = f"noise floor on {floor.identity.hardware}, {floor.identity.dtype}: worst of {floor.pictures} pictures"
    table = Table(title=Text(title), title_justify="left")
    table.add_column("benign change")
    for heading in _HEADINGS:
        table.add_column(heading, justify="right")
    for movement in floor.movements:
        table.add_row(*_row(movement))
    console = console_of(colour=colour)
    with console.capture() as captured:
        console.print(table)
        console.print(Text(repeats_line(floor)))
    return captured.get().rstrip()

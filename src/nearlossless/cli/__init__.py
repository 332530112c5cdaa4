"""The command line, a module for each group of commands; each imports what it needs when it is called."""

import typer

from nearlossless.cli.accepting import approve, calibrate
from nearlossless.cli.drawing import generate
from nearlossless.cli.evaluating import evaluate
from nearlossless.cli.pictures import compare
from nearlossless.cli.planning import plan
from nearlossless.cli.records import history, merge, record_schema, report

app = typer.Typer(
    name="nearlossless",
    help="Is the faster diffusion pipeline really faster, does it fit, and is the picture still the same?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (generate, plan, approve, calibrate, evaluate, report, merge, history, compare, record_schema):
    app.command()(command)

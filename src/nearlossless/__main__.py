"""`python -m nearlossless` is the command `nearlossless`."""

from nearlossless.cli import app

app(prog_name="nearlossless")

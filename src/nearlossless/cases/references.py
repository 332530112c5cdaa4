"""Published measurements, shown beside ours with their date and source."""

from datetime import date

from pydantic import Field

from nearlossless.fields import Name, Ratio, Seconds, Strict


class Figures(Strict):
    """What a source tells of one pipeline; a pipeline that does not fit the GPU has no figures."""

    out_of_memory: bool = False
    steps_per_s: Ratio | None = None
    latency_s: Seconds | None = None
    peak_gib: Ratio | None = None
    first_call_s: Seconds | None = Field(None, description="Warm-up call; for a compiled pipeline with empty caches.")
    warm_first_call_s: Seconds | None = Field(None, description="Warm-up call with primed caches.")


class Reference(Strict):
    """A published measurement of one recipe on a named GPU."""

    source: str
    measured: date
    recipe: Name = Field(description="The recipe of this case that does the same.")
    command: str = Field("", description="The source's own command.")
    note: str = Field("", description="Where the source and the recipe differ.")
    baseline: Figures
    compiled: Figures

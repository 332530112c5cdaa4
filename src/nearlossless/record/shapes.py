"""What the shapes gate measured: warm-up, the cycle of sizes and other requests, and swaps of LoRAs."""

from pydantic import Field

from nearlossless.fields import Int64
from nearlossless.record.part import Part


class Recompile(Part):
    """One compilation that torch told of."""

    function: str
    place: str  # file:line of the function
    guard: str  # what failed, in torch's words, or that the frame is new

    def __str__(self) -> str:
        return f"{self.function} ({self.place}): {self.guard}"


class WarmupCounts(Part):
    """What Dynamo compiled until nothing should compile any more: first call and the gate's warm-up together."""

    graphs: Int64
    graph_breaks: Int64
    frames: Int64


class WarmupRecord(Part):
    """Counts of the warm-up, and those accepted for these versions."""

    versions: str  # torch's, and the backend's where it has one
    counts: WarmupCounts
    accepted: WarmupCounts | None = None
    problem: str | None = None  # why nothing is accepted
    failed: list[str] = Field(default_factory=list)  # what of the warm-up could not be drawn


class SizeRecord(Part):
    """One request of the shapes gate: a size, or another batch, prompt, guidance or number of steps."""

    height: Int64
    width: Int64
    variation: str = ""  # from the case's own request; empty where only the size differs
    compiles: Int64
    recompiles: list[Recompile] = Field(default_factory=list)
    recordings: Int64 = 0  # of CUDA graphs
    kernel_files: list[str] = Field(default_factory=list)  # new ones, of a backend that Dynamo does not see
    latency_s: float
    baseline_s: list[float] = Field(default_factory=list)
    compiled_s: list[float] = Field(default_factory=list)
    set_aside: list[str | None] = Field(default_factory=list)
    live_worst_tile_ssim: float | None = None
    problems: list[str] = Field(default_factory=list)

    @property
    def title(self) -> str:
        """Size, and what else differs."""
        size = f"{self.width}x{self.height}"
        return f"{size}, {self.variation}" if self.variation else size


class SwapRecord(Part):
    """One swap of the LoRA in both pipelines."""

    lora: str
    compiles: Int64
    baseline_change_ssim: float | None = None  # worst tile of the baseline's pictures after against before the swap
    live_worst_tile_ssim: float | None = None
    problems: list[str] = Field(default_factory=list)

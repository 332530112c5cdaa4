"""Everything that was measured of one (case, recipe) on one device."""

from pydantic import Field

from nearlossless.cases.case import Sampling
from nearlossless.cases.references import Reference
from nearlossless.cases.thresholds import Band, Thresholds
from nearlossless.cases.waivers import Waiver
from nearlossless.effect import Effect
from nearlossless.environment import Fingerprint
from nearlossless.fields import Device, Int64, Name, PathPart
from nearlossless.processes.job import ProcessRun
from nearlossless.record.part import Part
from nearlossless.record.quality import ParityRecord, PictureRecord, ReplayRecord
from nearlossless.record.shapes import SizeRecord, SwapRecord, WarmupCounts, WarmupRecord
from nearlossless.record.speed import Speeds
from nearlossless.record.verdicts import VerdictRecord
from nearlossless.stacks.results import StackComparison


class SubjectRecord(Part):
    """One (case, recipe) on one device."""

    case: Name
    recipe: PathPart
    backend: str
    device: Device
    batch_size: Int64 = 1
    thresholds: Thresholds
    sampling: Sampling | None = None  # how long the speedup gate might look; None in older records
    baseline_does_not_fit: str | None = None  # why there is no baseline here, as the case says
    baseline_out_of_memory: str | None = None  # what its process said when it ran out of the GPU's memory
    estimated_gib: tuple[float, float] | None = None  # steady peaks of baseline and recipe; on a GPU
    fingerprint: Fingerprint | None = None
    verdicts: list[VerdictRecord] = Field(default_factory=list)
    baseline_process: ProcessRun | None = None
    cold_process: ProcessRun | None = None
    warm_process: ProcessRun | None = None
    artifact_process: ProcessRun | None = None  # started from the cold one's compile artifacts
    speeds: Speeds = Field(default_factory=Speeds)
    pictures: list[PictureRecord] = Field(default_factory=list)
    parity: ParityRecord = Field(default_factory=ParityRecord)
    replay: ReplayRecord = Field(default_factory=ReplayRecord)
    noise_floor: Band | None = None  # the worst of each figure under benign changes, as calibrated
    effect: Effect | None = None  # of the recipe on the session's pipeline
    warmup: WarmupRecord | None = None  # of the shapes gate
    accepted_warmups: dict[str, WarmupCounts] = Field(default_factory=dict)  # by versions; in accepted records
    sizes: list[SizeRecord] = Field(default_factory=list)
    swaps: list[SwapRecord] = Field(default_factory=list)
    stacks: StackComparison | None = None  # beside another environment, where one was named
    references: dict[str, tuple[Reference, ...]] = Field(default_factory=dict)
    waivers: tuple[Waiver, ...] = ()  # those of the case that are about this recipe and device

    @property
    def title(self) -> str:
        """`case / recipe / device`, and how many pictures a call draws if it is more than one."""
        batch = f", {self.batch_size} pictures a call" if self.batch_size > 1 else ""
        return f"{self.case} / {self.recipe} / {self.device}{batch}"

    @property
    def saw_compiling(self) -> bool:
        """Whether Dynamo saw the backend compile anything, in its first call or in the shapes gate's warm-up."""
        of_warmup = self.warmup.counts.frames if self.warmup is not None else 0
        return of_warmup > 0 or (self.effect is not None and self.effect.graphs > 0)

    @property
    def unneeded_waivers(self) -> list[Waiver]:
        """Waivers whose gate ran and passed: what they waive is mended, and they should go."""
        return [
            waiver
            for waiver in self.waivers
            if {verdict.outcome for verdict in self.verdicts if verdict.gate == waiver.gate} == {"PASS"}
        ]

    @property
    def lacks_thresholds(self) -> bool:
        """Whether some figure was measured for which there is no threshold yet, and nothing regressed."""
        checks = [check for verdict in self.verdicts for check in verdict.checks]
        is_sound = all(verdict.outcome not in {"REGRESSION", "WAIVED"} for verdict in self.verdicts)
        return is_sound and any(c.comparison and c.obtained is not None and c.threshold is None for c in checks)

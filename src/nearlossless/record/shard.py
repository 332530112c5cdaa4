"""Which part of a run over several hosts a record is of."""

from pydantic import Field

from nearlossless.record.part import Part

MOST_SHARDS = 10_000  # each has a case of its own, and what is missing is named one by one


class Shard(Part):
    """One of `of` parts. `selection` is the same for all parts of one run: a hash of the gates that were split."""

    number: int = Field(ge=1)
    of: int = Field(ge=1, le=MOST_SHARDS)
    selection: str = ""

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

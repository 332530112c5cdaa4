"""Results of prompts as Parquet, one row a prompt."""

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from nearlossless.backends import BackendUnavailable
from nearlossless.evaluation.results import PromptResult, Status
from nearlossless.metrics.scores import Scores

FEATURES = ("baseline_features", "compiled_features", "baseline_network", "compiled_network")


def check_installed() -> None:
    """
    Find out before hours of drawing that results cannot be written or reported.

    Raises:
        BackendUnavailable: A package of the extra is not installed.
    """
    try:
        import matplotlib as mpl  # noqa: F401
        import pyarrow.parquet  # noqa: F401
    except ImportError as error:
        raise BackendUnavailable(f"an evaluation needs: pip install 'nearlossless[evaluate]' ({error})") from None


def _schema() -> Any:
    import pyarrow as pa

    whole, real, text = pa.int64(), pa.float64(), pa.string()
    counted = {"p99_difference", "max_difference"}
    listed = {"worst_tile_xywh": pa.list_(whole), "worst_colour_xywh": pa.list_(whole), "channel_shift": pa.list_(real)}
    scores = pa.struct([(name, listed.get(name, whole if name in counted else real)) for name in Scores.model_fields])
    return pa.schema(
        [
            ("number", whole),
            ("line", whole),
            ("prompt", text),
            ("seed", whole),
            ("status", text),
            ("problem", text),
            ("scores", scores),
            ("baseline_clip", real),
            ("compiled_clip", real),
            *((name, pa.binary()) for name in FEATURES),
        ]
    )


def to_parquet(results: Sequence[PromptResult]) -> bytes:
    """The bytes of a file; the same results give the same bytes with the same pyarrow."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pylist([_row(result) for result in results], schema=_schema())
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd", use_dictionary=False)
    return buffer.getvalue()


def _row(result: PromptResult) -> dict[str, Any]:
    scores = None if result.scores is None else result.scores.model_dump()
    return {**{name: getattr(result, name) for name in result.__slots__}, "scores": scores}


def _result(row: dict[str, Any]) -> PromptResult:
    scores = None if row["scores"] is None else Scores.model_validate(row["scores"])
    return PromptResult(**{**row, "status": Status(row["status"]), "scores": scores})


def from_parquet(path: Path, *, with_features: bool = False) -> Iterator[PromptResult]:
    """
    The results in a file.

    Args:
        path: Of the file.
        with_features: Read the features, too: they are most of it.

    Raises:
        ValueError: It is no such file.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = [name for name in _schema().names if with_features or name not in FEATURES]
    try:
        rows = pq.ParquetFile(path).read(columns=names).to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{path}: is no file of results: {error}") from None
    yield from map(_result, rows)


def to_message(result: PromptResult) -> bytes:
    """A single row as Arrow sends it: a tenth of the work of a Parquet file of one row."""
    import pyarrow as pa

    row: bytes = pa.RecordBatch.from_pylist([_row(result)], schema=_schema()).serialize().to_pybytes()
    return row


def from_message(row: bytes) -> PromptResult:
    """What `to_message` made."""
    import pyarrow as pa

    (found,) = pa.ipc.read_record_batch(pa.py_buffer(row), _schema()).to_pylist()
    return _result(found)

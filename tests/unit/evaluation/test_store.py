"""The results folder: everything once, durable at once, and nobody else's."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.scores import scores
from tests.unit.evaluation.conftest import MakeResult

from nearlossless.cases.case import CaseError
from nearlossless.evaluation.identity import RunIdentity
from nearlossless.evaluation.prompts import Prompt
from nearlossless.evaluation.results import Drawn, Status

pytest.importorskip("pyarrow")
from nearlossless.evaluation.parquet import from_parquet
from nearlossless.evaluation.store import BLOCK, WORST, Store, results_in

PNG = {"baseline": b"1", "recipe": b"2"}


def identity(**changes: Any) -> RunIdentity:
    """A run of 100 prompts."""
    sound = {"case": "c", "recipe": "r", "device": "cpu", "prompts_sha256": "0", "prompts": 100, "threads": 1}
    return RunIdentity.model_validate({**sound, "settings": {"judge": "miniature"}, **changes})


def test_results_come_back_in_the_order_of_drawing(tmp_path: Path, make_result: MakeResult) -> None:
    """Whatever the order they came in, and with everything that they hold."""
    with Store(tmp_path, identity()) as store:
        for number in (5, 70, 3, *range(10, 69), *range(6, 10), 4, 2, 1, 0):
            store.add(Drawn(result=make_result(number), pictures={}))
        found = list(store.finished(with_features=True))
        assert sorted(path.name for path in (tmp_path / "blocks").iterdir()) == ["000000.parquet", "000001.parquet"]
    assert found == [make_result(number) for number in sorted(result.number for result in found)]
    assert len(found) == 70
    assert list(results_in(tmp_path, with_features=True)) == found


def test_result_is_on_disk_at_once(tmp_path: Path, make_result: MakeResult) -> None:
    """Another reader finds it before the next one is added; in the end all is Parquet, also of a block half done."""
    with Store(tmp_path, identity()) as store:
        for number in (1, 0):
            store.add(Drawn(result=make_result(number), pictures={}))
            assert make_result(number) in list(results_in(tmp_path, with_features=True))
    assert {path.name for path in tmp_path.iterdir()} == {".lock", "run.json", "blocks"}
    (block,) = (tmp_path / "blocks").iterdir()
    assert list(from_parquet(block, with_features=True)) == [make_result(0), make_result(1)]


def test_same_results_are_the_same_files(tmp_path: Path, make_result: MakeResult) -> None:
    """Blocks are equal byte by byte, in whatever order results came."""
    for folder, numbers in (("a", range(BLOCK)), ("b", reversed(range(BLOCK)))):
        with Store(tmp_path / folder, identity()) as store:
            for number in numbers:
                store.add(Drawn(result=make_result(number), pictures={}))
    first, second = ((tmp_path / folder / "blocks" / "000000.parquet").read_bytes() for folder in "ab")
    assert first == second


def test_run_is_gone_on_with(tmp_path: Path, make_result: MakeResult) -> None:
    """Another opening knows what is finished, and takes nothing twice."""
    with Store(tmp_path, identity()) as store:
        store.add(Drawn(result=make_result(3), pictures={}))
    with Store(tmp_path, identity()) as store:
        assert store.is_finished(3)
        assert (store.count, store.is_finished(4)) == (1, False)
        with pytest.raises(ValueError, match="has a result already"):
            store.add(Drawn(result=make_result(3), pictures={}))


def test_crash_between_block_and_journal_counts_nothing_twice(tmp_path: Path, make_result: MakeResult) -> None:
    """Rows of the journal that a block holds already are dropped."""
    journal = tmp_path / "journal.arrow"
    with Store(tmp_path, identity()) as store:
        for number in range(BLOCK - 1):
            store.add(Drawn(result=make_result(number), pictures={}))
        before = journal.read_bytes()
        store.add(Drawn(result=make_result(BLOCK - 1), pictures={}))
        assert not journal.exists()
    journal.write_bytes(before)
    assert [result.number for result in results_in(tmp_path)] == list(range(BLOCK))
    with Store(tmp_path, identity()) as store:
        assert store.count == BLOCK
        assert [result.number for result in store.finished()] == list(range(BLOCK))
        assert not journal.exists()


@pytest.mark.parametrize("cut", [1, 7, 300])
def test_row_that_a_crash_cut_off_is_drawn_again(tmp_path: Path, make_result: MakeResult, cut: int) -> None:
    """The last one, whatever is left of it; those before it stay, and later ones are read."""
    journal = tmp_path / "journal.arrow"
    with Store(tmp_path, identity()) as store:
        for number in range(3):
            store.add(Drawn(result=make_result(number), pictures={}))
        content = journal.read_bytes()
    shutil.rmtree(tmp_path / "blocks")
    journal.write_bytes(content[:-cut])
    with Store(tmp_path, identity()) as store:
        assert [result.number for result in store.finished()] == [0, 1]
        store.add(Drawn(result=make_result(2), pictures={}))
    assert [result.number for result in results_in(tmp_path)] == [0, 1, 2]


def test_ten_worst_keep_their_pictures(tmp_path: Path, make_result: MakeResult) -> None:
    """Broken ones first, then by the worst tile; pictures of others are removed, also by another opening."""
    with Store(tmp_path, identity()) as store:
        first = store.cut
        for number in range(30):
            changes: dict[str, Any] = {"problem": "black"} if number == 12 else {}
            result = make_result(number, scores=scores(0.9 - number / 100), **changes)
            store.add(Drawn(result=result, pictures=PNG))
    assert first is None
    worst = {12, *range(21, 30)}
    assert {int(path.name[:6]) for path in (tmp_path / "pictures").iterdir()} == worst
    with Store(tmp_path, identity()) as store:
        assert len(worst) == WORST
        similarity, number = store.cut or (0.0, -1)
        assert (round(similarity, 9), number) == (0.69, 21)
        store.add(Drawn(result=make_result(30, scores=scores(0.95)), pictures=PNG))
    assert not store.picture(30, "recipe").exists()


@pytest.mark.parametrize("name", ["worst of the night.png", "._000012.baseline.png", "000000.mine.png"])
def test_foreign_pictures_are_left_alone(tmp_path: Path, make_result: MakeResult, name: str) -> None:
    """A PNG that is not ours stops neither a run nor its resumption, and stays; ours beside it still goes."""
    foreign = tmp_path / "pictures" / name
    with Store(tmp_path, identity()) as store:
        store.add(Drawn(result=make_result(0, scores=scores(0.95)), pictures=PNG))
        foreign.touch()
        for number in range(1, WORST + 1):
            store.add(Drawn(result=make_result(number, scores=scores(0.9)), pictures=PNG))
        assert not store.picture(0, "recipe").exists()
    with Store(tmp_path, identity()):
        assert foreign.exists()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"prompts_sha256": "1"}, "prompts_sha256: 0 -> 1"),
        ({"recipe": "other"}, "recipe: r -> other"),
        ({"threads": 2}, "threads: 1 -> 2"),
        ({"settings": {"judge": None}}, "settings.judge: miniature -> None"),
    ],
)
def test_folder_of_another_run_is_refused(
    tmp_path: Path, make_result: MakeResult, changes: dict[str, Any], told: str
) -> None:
    """The message names what changed, and nothing is lost."""
    with Store(tmp_path, identity()) as store:
        store.add(Drawn(result=make_result(0), pictures={}))
    with pytest.raises(CaseError, match=told):
        Store(tmp_path, identity(**changes))
    with Store(tmp_path, identity()) as store:
        assert store.count == 1


def test_folder_without_results_is_anybody_s(tmp_path: Path, make_result: MakeResult) -> None:
    """A run that ended before its first result, for want of a worker say, binds nobody."""
    with Store(tmp_path, identity(threads=64)) as store:
        store.confirm({"hardware": "cpu-avx2"}, {})
    with Store(tmp_path, identity()) as store:
        store.confirm({"hardware": "cpu-avx512"}, {})
        store.add(Drawn(result=make_result(0), pictures={}))
    with pytest.raises(CaseError, match="threads: 1 -> 64"):
        Store(tmp_path, identity(threads=64))


def test_other_hardware_or_software_is_refused(tmp_path: Path, make_result: MakeResult) -> None:
    """What the pipelines turn out to be belongs to the run."""
    with Store(tmp_path, identity()) as store:
        store.confirm({"hardware": "cpu-avx2"}, {"torch": "2.13"})
        store.add(Drawn(result=make_result(0), pictures={}))
    with Store(tmp_path, identity()) as store:
        store.confirm({"hardware": "cpu-avx2"}, {"torch": "2.13"})
        with pytest.raises(CaseError, match=r"picture.hardware: cpu-avx2 -> cpu-avx512"):
            store.confirm({"hardware": "cpu-avx512"}, {"torch": "2.13"})
        with pytest.raises(CaseError, match=r"stack.torch: 2.13 -> 2.14"):
            store.confirm({"hardware": "cpu-avx2"}, {"torch": "2.14"})


def test_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    """A home folder is no place for results."""
    (tmp_path / "letter.txt").touch()
    with pytest.raises(CaseError, match="no evaluation's"):
        Store(tmp_path, identity())


def test_damaged_files_are_named(tmp_path: Path, make_result: MakeResult) -> None:
    """A file of results that is none, a journal with a damaged row before its last, and a run file that is none."""
    journal, block = tmp_path / "journal.arrow", tmp_path / "blocks" / "000000.parquet"
    with Store(tmp_path, identity()) as store:
        store.add(Drawn(result=make_result(0), pictures={}))
        store.add(Drawn(result=make_result(1), pictures={}))
        content = bytearray(journal.read_bytes())
    content[100] ^= 1
    journal.write_bytes(content)
    with pytest.raises(ValueError, match=r"journal\.arrow: is damaged at byte 0"):
        Store(tmp_path, identity())
    assert journal.read_bytes() == content
    journal.unlink()
    block.write_bytes(b"damaged")
    with pytest.raises(ValueError, match=r"000000\.parquet: is no file of results"):
        Store(tmp_path, identity())
    (tmp_path / "run.json").write_text("{}", encoding="utf-8")
    with pytest.raises(CaseError, match="cannot be read"):
        Store(tmp_path, identity())


def test_two_runs_do_not_share_a_folder(tmp_path: Path) -> None:
    """Who comes second is told so."""
    with Store(tmp_path, identity()), pytest.raises(CaseError, match="another evaluation is writing here"):
        Store(tmp_path, identity())


def test_prompt_that_two_processes_died_of_is_set_aside(tmp_path: Path) -> None:
    """Starts without an end count; a stop by hand does not."""
    prompt = Prompt(3, 4, "a", 0)
    with Store(tmp_path, identity()) as store:
        assert store.attempt(Prompt(1_000_000, 5, "b", 0)) is None
        assert store.attempt(prompt) is None
        store.give_up_attempt(prompt)
        assert store.attempt(prompt) is None
    with Store(tmp_path, identity()) as store:
        assert store.attempt(prompt) is None
    with Store(tmp_path, identity()) as store:
        found = store.attempt(prompt)
    assert found is not None
    assert found.result.status is Status.SET_ASIDE
    assert (found.result.number, found.result.prompt) == (3, "a")


def test_failed_prompts_are_kept_too(tmp_path: Path, make_result: MakeResult) -> None:
    """A result without scores comes back as it was."""
    failed = replace(make_result(0), status=Status.RECIPE_FAILED, problem="x", scores=None, compiled_clip=None)
    with Store(tmp_path, identity()) as store:
        store.add(Drawn(result=failed, pictures={}))
        assert list(store.finished(with_features=True)) == [failed]

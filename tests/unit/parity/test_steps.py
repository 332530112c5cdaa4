"""Step parity: steps, recorded inputs, distances, and planted defects beside harmless changes."""

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from nearlossless.cases.case import Case
from nearlossless.cases.thresholds import Thresholds
from nearlossless.gates import parity_checks
from nearlossless.measuring.recording import record_baseline
from nearlossless.measuring.step_parity import measure_parity
from nearlossless.parity.blocks import NONE_ALONE, UNMATCHED
from nearlossless.parity.denoiser_calls import calls_at, record_calls, same_layout
from nearlossless.parity.steps import chosen_steps, compare_outputs, compare_tensors, worst
from nearlossless.pipelines.compiling import copy_pipeline
from nearlossless.pipelines.drawing import draw
from nearlossless.pipelines.loading import build_baseline
from nearlossless.pipelines.requests import requests
from nearlossless.progress import Progress
from nearlossless.record.quality import ParityRecord
from nearlossless.runs.selection import Subject
from nearlossless.shapes.counting import counted_compiles
from nearlossless.verdicts import Outcome, verdict

CEILING = Thresholds(max_parity_ratio=1.5)


@pytest.mark.parametrize(
    ("steps", "count", "chosen"),
    [
        (28, None, [0, 5, 11, 16, 22, 27]),
        (28, 2, [0, 27]),
        (28, 28, list(range(28))),
        (28, 99, list(range(28))),
        (4, None, [0, 1, 2, 3]),
        (2, 6, [0, 1]),
        (1, None, [0]),
    ],
)
def test_steps_are_spread_evenly(steps: int, count: int | None, chosen: list[int]) -> None:
    """Six by default, never more than there are, always the first and the last."""
    assert chosen_steps(steps, count) == chosen


@pytest.mark.parametrize(
    "tensor",
    [
        torch.tensor(3.0),
        torch.tensor(3.0).expand(4),
        torch.rand(4, 6).T,
        torch.rand(4, 6)[1:, ::2],
        torch.rand(2, 3, 4, 4).to(memory_format=torch.channels_last),
        torch.arange(6),
        torch.rand(0, 3),
    ],
    ids=["scalar", "expanded", "transposed", "strided", "channels-last", "integers", "empty"],
)
def test_copy_has_the_same_layout(tensor: torch.Tensor) -> None:
    """A copy has values, dtype and strides of the original, is a view if that is one, and has memory of its own."""
    copied = same_layout(tensor)
    assert copied._is_view() == tensor._is_view()
    assert torch.equal(copied, tensor)
    assert (copied.dtype, copied.stride()) == (tensor.dtype, tensor.stride())
    assert not tensor.numel() or copied.data_ptr() != tensor.data_ptr()


class Guided(nn.Module):
    """A denoiser that only remembers how it was called."""

    def forward(self, latents: torch.Tensor, timestep: torch.Tensor, *, embeddings: torch.Tensor) -> Any:
        """A tuple, as pipelines ask for."""
        return (latents * 0.5 + timestep + embeddings,)


def calls_of(timesteps: list[float], wanted: list[int]) -> tuple[list[Any], torch.Tensor]:
    """Calls of a pipeline that writes into its latents in place, and the embeddings that all of them share."""
    denoiser, latents, embeddings = Guided(), torch.zeros(2, 3), torch.ones(2, 3)

    def draw_with() -> None:
        with torch.no_grad():
            for timestep in timesteps:
                latents.add_(1.0)
                denoiser(latents, torch.tensor(timestep).expand(2, 1), embeddings=embeddings)

    calls = calls_at(wanted, record_calls(denoiser, draw_with))
    assert not denoiser._forward_hooks
    assert not denoiser._forward_pre_hooks
    return calls, embeddings


def test_chosen_calls_are_kept_as_they_were() -> None:
    """Inputs are those of their own step although the pipeline overwrites them, and the output belongs to them."""
    calls, _ = calls_of([3.0, 2.0, 1.0], [0, 2])
    assert [call.step for call in calls] == [0, 2]
    assert [float(call.arguments[0].mean()) for call in calls] == [1.0, 3.0]
    assert [float(call.outputs[0].mean()) for call in calls] == [0.5 + 3.0 + 1.0, 1.5 + 1.0 + 1.0]


def test_tensor_that_is_given_again_is_kept_once() -> None:
    """Embeddings that every step gets are copied once."""
    calls, embeddings = calls_of([3.0, 2.0, 1.0], [0, 1, 2])
    kept = {call.options["embeddings"].data_ptr() for call in calls}
    assert len(kept) == 1
    assert embeddings.data_ptr() not in kept


def test_last_step_is_kept_in_any_case() -> None:
    """A scheduler that evaluates more often than steps were asked for has its last evaluation among the calls."""
    calls, _ = calls_of([5.0, 4.0, 3.0, 2.0, 1.0], [0, 2])
    assert [call.step for call in calls] == [0, 2, 4]


def test_two_calls_with_one_timestep_are_one_step() -> None:
    """A pipeline that guides with two calls a step has two calls of it."""
    calls, _ = calls_of([2.0, 2.0, 1.0, 1.0], [0, 1])
    assert [call.step for call in calls] == [0, 0, 1, 1]


def test_distances_are_those_of_their_definitions() -> None:
    """RMS, maximum, mean and both ratios, worked out by hand for four values."""
    reference = torch.tensor([1.0, 1.0, 1.0, 1.0], dtype=torch.float64)
    baseline = torch.tensor([1.0, 1.0, 1.5, 0.5])
    compiled = torch.tensor([2.0, 1.0, 1.0, 1.0])
    parity = compare_tensors(0, baseline, compiled, reference)
    assert parity.reference_rms == 1.0
    assert parity.baseline_rms == pytest.approx(math.sqrt(0.5 / 4))
    assert (parity.compiled_rms, parity.baseline_max, parity.compiled_max) == (0.5, 0.5, 1.0)
    assert (parity.baseline_bias, parity.compiled_bias) == (0.0, 0.25)
    assert parity.ratio == pytest.approx(math.sqrt(2))
    assert parity.max_ratio == 2.0


def test_exact_baseline_counts_as_rounded_once() -> None:
    """Beside a baseline that is exact by luck, one rounding is no defect and ten are."""
    reference = torch.rand(10_000, dtype=torch.float64).float().double() + 1
    baseline = reference.float()
    wrong = {units: baseline * (1 + units * torch.finfo(torch.float32).eps) for units in (0, 10)}
    near, far = (compare_tensors(0, baseline, tensor, baseline.double()) for tensor in wrong.values())
    assert near.ratio == 0.0
    assert far.ratio == pytest.approx(10 * math.sqrt(12), rel=0.05)


def test_rounding_once_stays_below_the_floor() -> None:
    """Correctly rounding an exact result to bfloat16 costs at most one unit of distance."""
    torch.manual_seed(0)
    reference = torch.randn(100_000)
    rounded = reference.bfloat16()
    parity = compare_tensors(0, rounded, rounded, reference)
    assert parity.ratio is not None
    assert 0.5 < parity.ratio <= 1.0


@pytest.mark.parametrize(("shift", "is_biased"), [(0.2, False), (0.3, True)])
def test_bias_turns_at_a_quarter_of_the_rms(shift: float, is_biased: bool) -> None:
    """Errors that scatter around zero by one have a bias beyond a quarter of their RMS at 0.3, not at 0.2."""
    torch.manual_seed(0)
    reference = torch.zeros(100_000, dtype=torch.float64)
    errors = torch.randn(100_000, dtype=torch.float64)
    errors = (errors - errors.mean()) / errors.std() + shift
    parity = compare_tensors(0, (errors - shift).float(), errors.float(), reference)
    assert parity.bias_share is not None
    assert (parity.bias_share > 0.25) is is_biased


def test_bias_that_the_baseline_has_too_is_none() -> None:
    """A denoiser that returns the baseline's own bits is not biased, however biased the baseline is."""
    torch.manual_seed(0)
    errors = 1 + torch.randn(100_000)
    assert compare_tensors(0, errors, errors.clone(), torch.zeros(100_000, dtype=torch.float64)).bias_share == 0.0


def test_bias_of_few_values_may_be_chance() -> None:
    """With few values a mean beyond a quarter of the RMS is within its own sampling error."""
    errors = torch.tensor([1.0, 1.0, 1.0, -0.5])
    parity = compare_tensors(0, torch.zeros(4), errors, torch.zeros(4, dtype=torch.float64))
    assert parity.bias_share == 0.0


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_values_that_are_no_numbers_have_to_agree(value: float) -> None:
    """NaN and Inf are no problem where the baseline has the same, and one anywhere else."""
    reference = torch.ones(8, dtype=torch.float64)
    sound, broken = torch.ones(8), torch.ones(8)
    broken[3] = value
    assert compare_tensors(0, broken, broken.clone(), reference).problem is None
    assert "1 of 8" in str(compare_tensors(0, sound, broken, reference).problem)
    assert "1 of 8" in str(compare_tensors(0, broken, sound, reference).problem)


def test_infinities_of_other_sign_do_not_agree() -> None:
    """Inf where the baseline has -Inf is at another place."""
    up, down = torch.tensor([math.inf, 1.0]), torch.tensor([-math.inf, 1.0])
    assert compare_tensors(0, up, down, torch.ones(2, dtype=torch.float64)).problem is not None


@pytest.mark.parametrize("obtained", [[], [torch.ones(3, 2)], [torch.ones(2, 3), torch.ones(2, 3)]])
def test_output_of_another_shape_is_a_problem(obtained: list[torch.Tensor]) -> None:
    """What has not the baseline's number of tensors and shapes is told with both."""
    wanted = [torch.ones(2, 3)]
    assert "(2, 3)" in str(compare_outputs(0, wanted, obtained, wanted).problem)


def test_worst_of_several_outputs_counts() -> None:
    """Where a denoiser returns two tensors, the one further off is told."""
    good, bad = torch.ones(8), torch.ones(8) + 0.1
    exact = [torch.ones(8, dtype=torch.float64)] * 2
    parity = compare_outputs(0, [good, good], [good, bad], exact)
    assert parity.compiled_max == pytest.approx(0.1)


@pytest.fixture(scope="module")
def quick_subject(quick_case: Case) -> Subject:
    """The miniature in two steps on the CPU; both are looked at."""
    return Subject(
        case=quick_case,
        case_folder=Path(),
        recipe_name="inductor",
        recipe=quick_case.recipes["inductor"],
        device="cpu",
        is_named=True,
    )


@pytest.fixture(scope="module")
def baseline(quick_case: Case) -> Any:
    """The miniature's baseline pipeline."""
    return build_baseline(quick_case, "cpu")


def measured(baseline: Any, subject: Subject, change: Callable[[Any], Any]) -> ParityRecord:
    """Step parity of a copy whose transformer was changed; a change may return another transformer."""
    compiled = copy_pipeline(baseline, ("transformer",))
    replaced = change(compiled.transformer)
    if replaced is not None:
        compiled.transformer = replaced
    return measure_parity(record_baseline(baseline, subject.case), compiled, subject, Progress(lambda _: None))


class Passes(nn.Module):
    """A block that does nothing."""

    def forward(self, hidden_states: Any, encoder_hidden_states: Any, **_: Any) -> Any:
        """The inputs, in the order of a block's outputs."""
        return encoder_hidden_states, hidden_states


def skip_block(transformer: Any) -> None:
    """Block 1 does nothing."""
    transformer.transformer_blocks[1] = Passes()


def scale_attention(transformer: Any) -> None:
    """The attention logits of block 2 are 2 % larger."""
    norm = transformer.transformer_blocks[2].attn.norm_q
    norm.weight = nn.Parameter(norm.weight * 1.02)


def break_projection(transformer: Any) -> None:
    """One row of the last projection is NaN."""
    weight = transformer.proj_out.weight.detach().clone()
    weight[3] = math.nan
    transformer.proj_out.weight = nn.Parameter(weight)


def add_bias(transformer: Any) -> None:
    """Everything that it returns is larger by 0.001."""
    forward = transformer.forward
    transformer.forward = lambda *arguments, **options: (forward(*arguments, **options)[0] + 1e-3,)


def drop_block(transformer: Any) -> None:
    """One block less."""
    transformer.transformer_blocks = nn.ModuleList(list(transformer.transformer_blocks)[:-1])


class InBfloat16(nn.Module):
    """Computes in bfloat16 what comes and goes in float32."""

    def __init__(self, transformer: Any) -> None:
        super().__init__()
        self.config, self.dtype = transformer.config, torch.float32
        self.inner = [copy.deepcopy(transformer).to(torch.bfloat16)]

    def forward(self, **options: Any) -> Any:
        """Cast, compute, cast back."""
        low = {k: v.bfloat16() if isinstance(v, torch.Tensor) else v for k, v in options.items()}
        return (self.inner[0](**low)[0].float(),)


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (skip_block, "first diverges in transformer_blocks.1"),
        (scale_attention, "first diverges in transformer_blocks.2"),
        (break_projection, "first diverges in proj_out"),
        (add_bias, NONE_ALONE),
        (drop_block, UNMATCHED),
        (InBfloat16, UNMATCHED),
    ],
)
def test_planted_defect_is_a_regression_and_located(
    baseline: Any, quick_subject: Subject, change: Callable[[Any], Any], where: str
) -> None:
    """Each defect fails step parity, and the verdict says where, as far as blocks can be matched."""
    parity = measured(baseline, quick_subject, change)
    judged = verdict("quality", parity_checks(parity, CEILING))
    assert judged.outcome is Outcome.REGRESSION, judged.reason
    assert f"at step 1 {where}" in judged.reason


def test_blocks_are_told_one_by_one_at_the_worst_step(baseline: Any, quick_subject: Subject) -> None:
    """Where every step passes, each part that the baseline calls is compared alone, in that order, at the worst."""
    parity = measured(baseline, quick_subject, nothing)
    assert {block.step for block in parity.blocks.values()} == {worst(parity.steps).step}
    assert [block.ratio for block in parity.blocks.values()] == pytest.approx([1] * len(parity.blocks), abs=0.5)
    names = list(parity.blocks)
    assert names[-1] == "proj_out"
    assert [name for name in names if "transformer_blocks" in name] == [
        f"transformer_blocks.{number}" for number in range(len(baseline.transformer.transformer_blocks))
    ]
    assert parity.divergence is None


def test_only_the_changed_block_stands_out(baseline: Any, quick_subject: Subject) -> None:
    """A defect of one block is seen in that block alone: the others are given the baseline's inputs."""
    blocks = measured(baseline, quick_subject, scale_attention).blocks
    assert {name for name, block in blocks.items() if (block.ratio or 0.0) > 1.5} == {"transformer_blocks.2"}


def test_blocks_that_fail_alone_cost_a_passing_run_nothing(
    baseline: Any, quick_subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without room to call blocks alone the steps are judged as ever, and no divergence is claimed."""

    def runs_out(*_: Any, **__: Any) -> str:
        raise torch.cuda.OutOfMemoryError("no room for a search")

    monkeypatch.setattr("nearlossless.measuring.step_parity.compare_blocks", runs_out)
    parity = measured(baseline, quick_subject, nothing)
    assert verdict("quality", parity_checks(parity, CEILING)).is_pass
    assert (parity.blocks, parity.divergence) == ({}, None)


def test_defect_that_cannot_be_located_stays_a_regression(
    baseline: Any, quick_subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A search for the block that fails takes nothing from the verdict, and its error stands there."""

    def runs_out(*_: Any, **__: Any) -> str:
        raise torch.cuda.OutOfMemoryError("no room for a search")

    monkeypatch.setattr("nearlossless.measuring.step_parity.compare_blocks", runs_out)
    judged = verdict("quality", parity_checks(measured(baseline, quick_subject, skip_block), CEILING))
    assert judged.outcome is Outcome.REGRESSION, judged.reason
    assert "no room for a search" in judged.reason


def test_bias_is_told_as_one(baseline: Any, quick_subject: Subject) -> None:
    """A constant added to everything fails the check of the bias too."""
    checks = parity_checks(measured(baseline, quick_subject, add_bias), CEILING)
    assert [check.outcome for check in checks if "bias" in check.name] == [Outcome.REGRESSION]


def by_block(transformer: Any) -> None:
    """Every block is compiled for any size."""
    for block in transformer.transformer_blocks:
        block.compile(dynamic=True, backend="eager")


def whole(transformer: Any) -> None:
    """The whole is compiled in place, for this size."""
    transformer.compile(dynamic=False, backend="eager")


def wrapped(transformer: Any) -> Any:
    """The whole is compiled into a module of another kind."""
    return torch.compile(transformer, dynamic=True, backend="eager")


@contextmanager
def one_more_thread() -> Iterator[None]:
    """Twice the threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def threaded(transformer: Any) -> None:
    """Computes with one more thread."""
    transformer.forward = one_more_thread()(transformer.forward)


def channels_last(transformer: Any) -> Any:
    """Convolutions hold their weights in another order."""
    return copy.deepcopy(transformer).to(memory_format=torch.channels_last)


def nothing(transformer: Any) -> None:
    """No change."""


@pytest.mark.parametrize("change", [nothing, by_block, whole, wrapped, threaded, channels_last])
def test_harmless_change_passes(baseline: Any, quick_subject: Subject, change: Callable[[Any], Any]) -> None:
    """What only rounds in another way passes with margin."""
    parity = measured(baseline, quick_subject, change)
    judged = verdict("quality", parity_checks(parity, CEILING))
    assert judged.is_pass, judged.reason
    assert max(step.ratio or math.inf for step in parity.steps) < 1.2


def inductor(transformer: Any) -> None:
    """Every block is compiled by Inductor."""
    for block in transformer.transformer_blocks:
        block.compile(dynamic=True)


@pytest.mark.slow
def test_inductor_passes(baseline: Any, quick_subject: Subject) -> None:
    """The shipped recipe, compiled for real, stays within 1.2 times the baseline's distance."""
    parity = measured(baseline, quick_subject, inductor)
    judged = verdict("quality", parity_checks(parity, CEILING))
    assert judged.is_pass, judged.reason
    assert max(step.ratio or math.inf for step in parity.steps) < 1.2


@pytest.mark.parametrize("change", [by_block, whole, wrapped])
def test_parity_compiles_nothing(baseline: Any, quick_subject: Subject, change: Callable[[Any], Any]) -> None:
    """After one picture the compiled denoiser meets nothing new in the recorded inputs."""
    torch.compiler.reset()
    compiled = copy_pipeline(baseline, ("transformer",))
    replaced = change(compiled.transformer)
    if replaced is not None:
        compiled.transformer = replaced
    with counted_compiles() as first:
        draw(compiled, quick_subject.case.generation, requests(quick_subject.case.generation)[0])
    with counted_compiles() as again:
        measure_parity(record_baseline(baseline, quick_subject.case), compiled, quick_subject, Progress(lambda _: None))
    assert first.total > 0
    assert again.total == 0


def test_baseline_is_left_as_it_was(baseline: Any, quick_subject: Subject) -> None:
    """After a failed parity with its search for the block, the baseline draws the same bits and has no hooks."""
    request = requests(quick_subject.case.generation)[0]
    before = draw(baseline, quick_subject.case.generation, request).tobytes()
    measured(baseline, quick_subject, scale_attention)
    assert draw(baseline, quick_subject.case.generation, request).tobytes() == before
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in baseline.transformer.modules())


def test_denoiser_that_fails_leaves_the_steps_before_it(baseline: Any, quick_subject: Subject) -> None:
    """A denoiser that raises at its second step is told with the step, and the first one's figures are kept."""

    def breaks(transformer: Any) -> None:
        forward, calls = transformer.forward, list[int]()

        def once(**options: Any) -> Any:
            calls.append(1)
            if len(calls) > 1:
                raise ValueError("bad kernel launch")
            return forward(**options)

        transformer.forward = once

    first, second = measured(baseline, quick_subject, breaks).steps
    assert (first.step, first.problem) == (0, None)
    assert first.ratio == pytest.approx(1, abs=0.5)
    assert (second.step, second.problem) == (1, "ValueError: bad kernel launch")


def test_pipeline_without_denoiser_has_no_parity(baseline: Any, quick_subject: Subject) -> None:
    """A user's own callable need not have a transformer: nothing was measured, and the record says what is missing."""
    parity = measure_parity(
        record_baseline(baseline, quick_subject.case), lambda **_: None, quick_subject, Progress(lambda _: None)
    )
    assert parity.steps == []
    assert "compiled pipeline has no transformer or unet" in str(parity.problem)

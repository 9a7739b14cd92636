"""What a step costs: the positions that the device computes, charged by hand-checked arithmetic."""

import pytest

from engine_svc.core.outputs import (
    NO_SLOT,
    Layout,
    PaddedPaged,
    Ragged,
    ScheduledSequence,
    SchedulerOutput,
    StaticShape,
)
from engine_svc.core.params import BlockId, RequestId
from steeple_cli.planning.errors import PlanRefused
from steeple_cli.planning.step_time import StepTime
from steeple_cli.planning.step_work import StepWork, work_of


def sequence(
    name: str, *, prompt: int, first: int, count: int, num_recomputed: int = 0
) -> ScheduledSequence:
    slots = (NO_SLOT,) * num_recomputed + tuple(range(num_recomputed, count))
    return ScheduledSequence(
        request_id=RequestId(name),
        token_ids=(1,) * count,
        first_position=first,
        num_prompt_tokens=prompt,
        block_table=(BlockId(1),),
        slot_mapping=slots,
        sample=None,
    )


def step(layout: Layout, *sequences: ScheduledSequence) -> SchedulerOutput:
    return SchedulerOutput(step=1, sequences=sequences, layout=layout)


def test_a_ragged_step_is_charged_for_its_tokens() -> None:
    """A chunk of 30 behind 20, a prompt of one token, a decode of the 101st token."""
    work = work_of(
        step(
            Ragged(),
            sequence("a", prompt=80, first=20, count=30),
            sequence("b", prompt=1, first=0, count=1),
            sequence("c", prompt=90, first=100, count=1),
        )
    )
    assert work == StepWork(
        num_prompt_tokens=31,
        num_prompt_positions=31,
        num_prompt_kv_positions=51,
        num_decodes=1,
        num_decode_rows=1,
        num_decode_kv_tokens=101,
        num_decode_kv_positions=101,
    )


def test_a_whole_padded_prompt_reads_its_own_row() -> None:
    """It joins at tkv 300, but the blocks of padding in front of it are cut away."""
    layout = PaddedPaged(tkv=300, left_pads=(10,), num_rows=1, query_len=128)
    work = work_of(step(layout, sequence("a", prompt=100, first=0, count=100)))
    assert work == StepWork(
        num_prompt_tokens=100, num_prompt_positions=128, num_prompt_kv_positions=128
    )


def test_a_chunk_reads_all_up_to_its_end() -> None:
    """The second chunk of 128 behind a block of padding; 64 of its tokens are cached already."""
    layout = PaddedPaged(tkv=256, left_pads=(64,), num_rows=1, query_len=128)
    chunk = sequence("a", prompt=170, first=64, count=106, num_recomputed=64)
    assert work_of(step(layout, chunk)) == StepWork(
        num_prompt_tokens=106,
        num_recomputed_tokens=64,
        num_prompt_positions=128,
        num_prompt_kv_positions=256,
    )


def test_padded_decodes_are_charged_for_all_rows_at_full_length() -> None:
    layout = PaddedPaged(tkv=131, left_pads=(0, 64), num_rows=4, query_len=1)
    decodes = [
        sequence("a", prompt=9, first=130, count=1),
        sequence("b", prompt=9, first=66, count=1),
    ]
    assert work_of(step(layout, *decodes)) == StepWork(
        num_decodes=2,
        num_decode_rows=4,
        num_decode_kv_tokens=131 + 67,
        num_decode_kv_positions=4 * 131,
    )


def shape(kv_len: int) -> StaticShape:
    return StaticShape(
        prompt_len=64,
        new_tokens=20,
        batch_size=4,
        kv_len=kv_len,
        rows=(RequestId("a"), None, None, None),
        left_pads=(54, 64, 64, 64),
    )


def test_a_static_batch_is_charged_whole() -> None:
    prompts = work_of(step(shape(64), sequence("a", prompt=10, first=0, count=10)))
    assert prompts == StepWork(
        num_prompt_tokens=10, num_prompt_positions=4 * 64, num_prompt_kv_positions=4 * 64
    )
    decodes = work_of(step(shape(66), sequence("a", prompt=10, first=11, count=1)))
    assert decodes == StepWork(
        num_decodes=1,
        num_decode_rows=4,
        num_decode_kv_tokens=12,
        num_decode_kv_positions=4 * 66,
    )


def test_the_time_of_a_step_is_the_sum_of_its_parts() -> None:
    """10 ms + 3 us * 1000 + 5 us * 200 + 7 ns * (1e6 + 2e6) = 10 + 3 + 1 + 21 ms."""
    model = StepTime(base_ms=10, prefill_us_per_token=3, decode_us_per_row=5, kv_ns_per_token=7)
    work = StepWork(
        num_prompt_positions=1000,
        num_decode_rows=200,
        num_prompt_kv_positions=1_000_000,
        num_decode_kv_positions=2_000_000,
    )
    assert model.seconds(work) == pytest.approx(0.035)


@pytest.mark.parametrize(
    ("field", "option"),
    [
        ("base_ms", "--step-base-ms"),
        ("prefill_us_per_token", "--prefill-us-per-token"),
        ("decode_us_per_row", "--decode-us-per-row"),
        ("kv_ns_per_token", "--kv-ns-per-token"),
    ],
)
@pytest.mark.parametrize("value", [-1.0, float("inf"), float("nan")])
def test_a_price_that_is_none_is_refused_by_its_option(
    field: str, option: str, value: float
) -> None:
    with pytest.raises(PlanRefused, match=option):
        StepTime(**{field: value})


def test_a_step_takes_time() -> None:
    """Otherwise the clock could stand still."""
    with pytest.raises(PlanRefused, match="--step-base-ms"):
        StepTime(base_ms=0)

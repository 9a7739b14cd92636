"""What the runner reads and writes in the cache is what the step says, and nothing else."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import torch

from engine_svc.core.kv_cache.slots import slots_for
from engine_svc.core.outputs import (
    NO_SLOT,
    PaddedPaged,
    Ragged,
    SampleSpec,
    ScheduledSequence,
    SchedulerOutput,
    StaticShape,
)
from engine_svc.core.params import BlockId, RequestId, SamplingParams
from engine_svc.core.runner.fms import FmsOptions, FmsRunner
from engine_svc.core.runner.kv_cache import KvCache
from tests.support.models import LLAMA, VOCAB_SIZE, TinyModel

BLOCK_SIZE = 4
NUM_BLOCKS = 12
PROMPT = tuple((7 * idx + 5) % VOCAB_SIZE for idx in range(10))
REQUEST = RequestId("r")
BLOCKS = (BlockId(9), BlockId(2), BlockId(5))


@pytest.fixture
def runner(
    directory_of: Callable[[TinyModel], Path], runner_of: Callable[[Path], FmsRunner]
) -> FmsRunner:
    loaded = runner_of(directory_of(LLAMA))
    loaded.warm_up(num_blocks=NUM_BLOCKS, block_size=BLOCK_SIZE)
    return loaded


def sequence(
    first: int, end: int, *, blocks: tuple[BlockId, ...] = BLOCKS, stored_from: int = 0
) -> ScheduledSequence:
    """Positions first to end - 1 of the prompt; those below `stored_from` are not written."""
    slots = slots_for(blocks, first, end, BLOCK_SIZE)
    return ScheduledSequence(
        request_id=REQUEST,
        token_ids=PROMPT[first:end],
        first_position=first,
        num_prompt_tokens=len(PROMPT),
        block_table=blocks,
        slot_mapping=tuple(
            NO_SLOT if first + idx < stored_from else slot for idx, slot in enumerate(slots)
        ),
        sample=SampleSpec(sampling=SamplingParams(temperature=0.0), output_index=0),
    )


def run(
    runner: FmsRunner,
    *sequences: ScheduledSequence,
    copies: Iterable[tuple[BlockId, BlockId]] = (),
) -> int:
    step = SchedulerOutput(step=1, sequences=sequences, layout=Ragged(), block_copies=tuple(copies))
    output = runner.execute(step)
    assert not output.faults
    return output.token_ids[REQUEST][0] if sequences else -1


def cache_of(runner: FmsRunner) -> KvCache:
    assert runner._cache is not None
    return runner._cache


def snapshot(runner: FmsRunner) -> list[torch.Tensor]:
    return [tensor.clone() for layer in cache_of(runner).layers for tensor in layer]


def test_warm_up_leaves_every_block_zero(runner: FmsRunner) -> None:
    """Block 0 and the blocks to come hold nothing that could leak into an answer."""
    assert all(not tensor.any() for tensor in snapshot(runner))
    assert snapshot(runner)[0].shape == (NUM_BLOCKS + 1, 2, BLOCK_SIZE, 8)


def test_only_the_named_slots_are_written(runner: FmsRunner) -> None:
    """Ten tokens in three blocks: block 0 and all others stay zero."""
    run(runner, sequence(0, 10))
    for tensor in snapshot(runner):
        written = tensor.abs().sum(dim=(1, 3)) > 0  # [num_blocks + 1, block_size]
        assert written[[9, 2]].all()
        assert written[5].tolist() == [True, True, False, False]
        written[[9, 2, 5]] = False
        assert not written.any()


def test_rows_without_a_slot_compute_and_write_nothing(runner: FmsRunner) -> None:
    """The last prompt token again, over cached blocks: the same token, the cache untouched."""
    token = run(runner, sequence(0, 10))
    before = snapshot(runner)
    assert run(runner, sequence(9, 10, stored_from=10)) == token
    assert run(runner, sequence(5, 10, stored_from=10)) == token
    assert all(map(torch.equal, before, snapshot(runner)))


def test_blocks_are_copied_before_the_step_computes(runner: FmsRunner) -> None:
    """A copied prefix serves another table in the same step."""
    token = run(runner, sequence(0, 10))
    elsewhere = (BlockId(1), BlockId(12), BlockId(11))
    copies = zip(BLOCKS, elsewhere, strict=True)
    assert run(runner, sequence(9, 10, blocks=elsewhere), copies=copies) == token


def test_blocks_that_change_places_keep_their_contents(runner: FmsRunner) -> None:
    """All are read before any is written."""
    run(runner, sequence(0, 10))
    before = snapshot(runner)
    run(runner, copies=[(BlockId(9), BlockId(2)), (BlockId(2), BlockId(9))])
    for old, new in zip(before, snapshot(runner), strict=True):
        assert torch.equal(old[[2, 9]], new[[9, 2]])
        assert not torch.equal(old[2], old[9])


def test_a_step_may_only_copy(runner: FmsRunner) -> None:
    """No sequences: the copies happen all the same, and the source stays."""
    run(runner, sequence(0, 10))
    run(runner, copies=[(BlockId(9), BlockId(12))])
    for tensor in snapshot(runner):
        assert torch.equal(tensor[9], tensor[12])


def test_what_an_earlier_owner_left_never_reaches_an_answer(runner: FmsRunner) -> None:
    """Blocks full of NaN, as a failed request leaves them, are begun anew."""
    token = run(runner, sequence(0, 10))
    decoded = run(runner, sequence(9, 10))
    for layer in cache_of(runner).layers:
        for tensor in layer:
            tensor[1:] = torch.nan
    assert run(runner, sequence(0, 10)) == token
    assert run(runner, sequence(9, 10)) == decoded


def test_a_poisoned_row_fails_alone(runner: FmsRunner) -> None:
    """A request over broken keys gets a fault, its neighbour in the same step its token."""
    token = run(runner, sequence(0, 10))
    for layer in cache_of(runner).layers:
        for tensor in layer:
            tensor[7] = torch.nan
    poisoned = ScheduledSequence(
        request_id=RequestId("poisoned"),
        token_ids=(5,),
        first_position=1,
        num_prompt_tokens=2,
        block_table=(BlockId(7),),
        slot_mapping=(29,),
        sample=SampleSpec(sampling=SamplingParams(temperature=0.0), output_index=0),
    )
    step = SchedulerOutput(step=1, sequences=(poisoned, sequence(9, 10)), layout=Ragged())
    output = runner.execute(step)
    assert output.token_ids == {REQUEST: (token,)}
    assert output.faults[RequestId("poisoned")].reason == "NON_FINITE_LOGITS"


def test_every_layout_is_run_from_the_ragged_facts(runner: FmsRunner) -> None:
    """What a policy computed for a device changes nothing here."""
    token = run(runner, sequence(0, 10))
    layouts = (
        PaddedPaged(tkv=12, left_pads=(2,), num_rows=2, query_len=1),
        StaticShape(
            prompt_len=12, new_tokens=4, batch_size=1, kv_len=12, rows=(REQUEST,), left_pads=(2,)
        ),
    )
    assert runner.info().layouts == frozenset({Ragged, PaddedPaged, StaticShape})
    for layout in layouts:
        step = SchedulerOutput(step=1, sequences=(sequence(9, 10),), layout=layout)
        assert runner.execute(step).token_ids == {REQUEST: (token,)}


def test_the_head_sees_only_sampled_rows(runner: FmsRunner) -> None:
    """Nine prompt tokens of ten never meet the vocabulary."""
    seen: list[int] = []
    head: Any = runner._loaded().model.head  # untyped
    hook = head.register_forward_hook(
        lambda _module, arguments, _output: seen.append(arguments[0].shape[1])
    )
    run(runner, sequence(0, 10))
    hook.remove()
    assert seen == [1]


def test_info_tells_bytes_and_names(
    runner: FmsRunner, directory_of: Callable[[TinyModel], Path]
) -> None:
    """Two layers, keys and values, two heads of eight numbers of four bytes."""
    info = runner.info()
    assert (info.name, info.device, info.dtype) == ("fms", "cpu", "float32")
    assert info.kv_bytes_per_token == 2 * 2 * 2 * 8 * 4
    held = (directory_of(LLAMA) / "model.safetensors").stat().st_size
    assert held - 4096 < info.weights_bytes < held
    assert len(info.model_fingerprint) == 64


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_low_precision_runs_and_halves_the_cache(
    dtype: str, runner: FmsRunner, directory_of: Callable[[TinyModel], Path]
) -> None:
    """The number format is part of the fingerprint."""
    small = FmsRunner(FmsOptions(description=runner._options.description, dtype=dtype))
    small.load(lambda *_: None)
    small.warm_up(num_blocks=NUM_BLOCKS, block_size=BLOCK_SIZE)
    assert 0 <= run(small, sequence(0, 10)) < VOCAB_SIZE
    assert small.info().dtype == dtype
    assert small.info().kv_bytes_per_token * 2 == runner.info().kv_bytes_per_token
    assert small.info().weights_bytes * 2 == runner.info().weights_bytes
    assert small.info().model_fingerprint != runner.info().model_fingerprint

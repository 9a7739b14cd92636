"""Steps made by hand, for tests of those who judge or execute steps."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from engine_svc.core.outputs import NO_SLOT, Layout, SampleSpec, ScheduledSequence, SchedulerOutput
from engine_svc.core.params import BlockId, RequestId
from tests.support.requests import GREEDY, request_spec
from tests.support.rules.base import Checker
from tests.support.rules.known import Known, KnownRequests


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A step and the requests that live when it is decided."""

    step: SchedulerOutput
    requests: KnownRequests


def block_ids(*ids: int) -> tuple[BlockId, ...]:
    """Blocks by number."""
    return tuple(map(BlockId, ids))


def known(
    name: str,
    prompt_len: int,
    max_tokens: int,
    *,
    num_output: int = 0,
    first_token: int = 1000,
    arrival_idx: int = 0,
) -> Known:
    """A request whose tokens count up from `first_token`."""
    tokens = tuple(range(first_token, first_token + prompt_len + num_output))
    return Known(
        spec=request_spec(name, tokens[:prompt_len], max_tokens),
        arrival_idx=arrival_idx,
        token_ids=tokens,
    )


def grown(request: Known, num_output: int) -> Known:
    """The same request with so many tokens of output."""
    prompt = request.spec.prompt_token_ids
    output = tuple(range(prompt[-1] + 1, prompt[-1] + 1 + num_output))
    return replace(request, token_ids=prompt + output)


def sequence(
    request: Known,
    table: Sequence[int],
    span: tuple[int, int],
    *,
    block_size: int,
    block_offset: int = 0,
    num_unwritten: int = 0,
) -> ScheduledSequence:
    """Positions span[0] to span[1] - 1 of a request, of which the first are not written."""
    first, end = span
    slots = [
        table[place // block_size] * block_size + place % block_size
        for place in range(first + block_offset, end + block_offset)
    ]
    is_last = end == len(request.token_ids)
    return ScheduledSequence(
        request_id=request.spec.request_id,
        token_ids=request.token_ids[first:end],
        first_position=first,
        num_prompt_tokens=request.spec.num_prompt_tokens,
        block_table=block_ids(*table),
        slot_mapping=(NO_SLOT,) * num_unwritten + tuple(slots[num_unwritten:]),
        block_offset=block_offset,
        sample=SampleSpec(sampling=GREEDY, output_index=0) if is_last else None,
    )


def scene(
    step: int,
    sequences: Sequence[ScheduledSequence],
    layout: Layout,
    requests: Sequence[Known],
    *,
    paused: Sequence[str] = (),
) -> Scene:
    """A step, numbered, and who lives."""
    output = SchedulerOutput(
        step=step,
        sequences=tuple(sequences),
        layout=layout,
        paused_request_ids=tuple(RequestId(name) for name in paused),
    )
    return Scene(step=output, requests={request.spec.request_id: request for request in requests})


def play(checker: Checker, scenes: Sequence[Scene]) -> None:
    """Feed scenes to a checker."""
    for one in scenes:
        checker.check(one.step, one.requests)


def with_step(one: Scene, **changes: object) -> Scene:
    """The scene with other fields of its step."""
    return replace(one, step=replace(one.step, **changes))  # type: ignore[arg-type]  # any field


def with_layout(one: Scene, **changes: object) -> Scene:
    """The scene with other fields of its layout."""
    return with_step(one, layout=replace(one.step.layout, **changes))  # type: ignore[arg-type]  # any field


def with_sequence(one: Scene, idx: int, **changes: object) -> Scene:
    """The scene with other fields of one of its sequences."""
    sequences = list(one.step.sequences)
    sequences[idx] = replace(sequences[idx], **changes)  # type: ignore[arg-type]  # any field
    return with_step(one, sequences=tuple(sequences))


def with_more(one: Scene, *sequences: ScheduledSequence) -> Scene:
    """The scene with sequences added."""
    return with_step(one, sequences=one.step.sequences + sequences)

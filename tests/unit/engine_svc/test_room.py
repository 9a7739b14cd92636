"""The room that the front grants is the room that the policy has: no token less, none more."""

from typing import Any

import msgspec
import pytest

from engine_svc.core.batching import BatchingOptions, Join, WarmupShape
from engine_svc.core.messages import EngineInfo
from engine_svc.core.scheduler.base import Bounds, Never, Scheduler, SchedulerConfig
from engine_svc.core.scheduler.registry import SCHEDULERS
from engine_svc.room import room_for, rule_of
from engine_svc.validation import EngineLimits, to_spec
from steeple.engine.v1.generate_pb2 import GenerateRequest
from steeple_rpc.errors import InvalidRequest
from tests.support.engine_infos import engine_info
from tests.support.requests import GREEDY, request_spec

SHAPES = tuple(
    WarmupShape(prompt_len=prompt, new_tokens=new, batch_size=batch)
    for prompt, new, batch in ((64, 40, 4), (128, 20, 2), (100, 30, 1))
)
OPTIONS = {
    "continuous": [BatchingOptions()],
    "static": [BatchingOptions(shapes=SHAPES)],
    "spyre_continuous": [
        BatchingOptions(),
        BatchingOptions(join=Join.WAIT, max_batch_tkv=150),
        BatchingOptions(max_batch_tkv=301, min_decode_rows=2),
    ],
    "spyre_chunked": [
        BatchingOptions(),
        BatchingOptions(max_batch_tkv=150),
        BatchingOptions(max_batch_tkv=301, min_decode_rows=2),
    ],
}
CASES = [(name, options) for name, several in OPTIONS.items() for options in several]


def settled(policy: str, options: BatchingOptions) -> tuple[EngineInfo, Scheduler]:
    """A policy over a model of 192 tokens, and what its engine tells the front."""
    bounds = SCHEDULERS[policy].settle(
        Bounds(
            model_max_len=192,
            max_model_len=None,
            max_num_seqs=4,
            max_num_batched_tokens=64,
            block_size=None,
            options=options,
        )
    )
    max_model_len = bounds.max_model_len or bounds.model_max_len
    assert bounds.block_size is not None
    config = SchedulerConfig(
        num_blocks=bounds.max_num_seqs * -(-max_model_len // bounds.block_size),
        block_size=bounds.block_size,
        max_model_len=max_model_len,
        max_num_seqs=bounds.max_num_seqs,
        max_num_batched_tokens=bounds.max_num_batched_tokens,
        options=bounds.options,
    )
    info = engine_info(
        scheduler=policy,
        max_model_len=max_model_len,
        max_num_seqs=config.max_num_seqs,
        block_size=config.block_size,
        batching=config.options,
        default_sampling=GREEDY,
    )
    return info, SCHEDULERS[policy](config)


def is_refused(scheduler: Scheduler, num_prompt: int, num_prior: int, max_tokens: int) -> bool:
    """Whether the core would refuse such a request."""
    spec = request_spec("a", (1,) * num_prompt, max_tokens, prior=(1,) * num_prior)
    return isinstance(scheduler.capacity(spec), Never)


def asked(info: EngineInfo, num_prompt: int, **fields: Any) -> int:
    """The max_tokens that a request of an engine gets."""
    limits = EngineLimits(model="demo", default_max_tokens=1000, info=info)
    request = GenerateRequest(
        request_id="a", model="demo", prompt_token_ids=[1] * num_prompt, **fields
    )
    return to_spec(request, limits).stopping.max_tokens


@pytest.mark.parametrize(("policy", "options"), CASES)
@pytest.mark.parametrize("num_prior", [0, 7])
def test_the_room_is_what_the_policy_accepts(
    policy: str, options: BatchingOptions, num_prior: int
) -> None:
    """For every prompt: its room fits, a token more never does, and neither does no room."""
    info, scheduler = settled(policy, options)
    rooms = {}
    for num_prompt in range(1, info.max_model_len + 2):
        room = max(0, room_for(info, num_prompt + num_prior))
        rooms[num_prompt] = room
        assert room == 0 or not is_refused(scheduler, num_prompt, num_prior, num_prior + room)
        assert is_refused(scheduler, num_prompt, num_prior, num_prior + room + 1)
    assert rooms[1] > 0
    assert rooms[info.max_model_len + 1] == 0


@pytest.mark.parametrize(("policy", "options"), CASES)
def test_an_unset_max_tokens_takes_the_room_and_one_more_is_refused(
    policy: str, options: BatchingOptions
) -> None:
    """The default is never refused by the core; too much names field, limit and value."""
    info, _ = settled(policy, options)
    room = room_for(info, 60)
    assert asked(info, 60) == asked(info, 60, stopping={"max_tokens": room}) == room
    for field in ("max_tokens", "min_tokens"):
        with pytest.raises(InvalidRequest, match=f"at most {room} .* it is {room + 1}$") as caught:
            asked(info, 60, stopping={field: room + 1})
        assert (caught.value.field, caught.value.reason) == (
            f"stopping.{field}",
            "CONTEXT_EXCEEDED",
        )
        assert rule_of(info) in caught.value.message


@pytest.mark.parametrize(("policy", "options"), CASES)
def test_an_answer_that_goes_on_gets_what_the_policy_has_left_for_it(
    policy: str, options: BatchingOptions
) -> None:
    """What it has counts as output, and takes the room of a prompt: exactly what the core takes."""
    info, scheduler = settled(policy, options)
    prior = [1] * 7
    most = asked(info, 60, prior_output_token_ids=prior)
    assert not is_refused(scheduler, 60, len(prior), most)
    assert is_refused(scheduler, 60, len(prior), most + 1)
    with pytest.raises(InvalidRequest, match=f"at most {most} "):
        asked(info, 60, prior_output_token_ids=prior, stopping={"max_tokens": most + 1})


@pytest.mark.parametrize(("policy", "options"), CASES)
def test_a_prompt_without_room_is_refused_with_the_rule(
    policy: str, options: BatchingOptions
) -> None:
    """The caller learns what the engine would take."""
    info, _ = settled(policy, options)
    with pytest.raises(InvalidRequest) as caught:
        asked(info, 193)
    assert (caught.value.field, caught.value.reason) == ("prompt_token_ids", "PROMPT_TOO_LONG")
    assert "193 tokens" in caught.value.message
    assert rule_of(info) in caught.value.message


@pytest.mark.parametrize(
    ("num_prompt", "room"), [(1, 40), (64, 40), (65, 30), (100, 30), (101, 20), (128, 20), (129, 0)]
)
def test_a_static_room_is_the_longest_answer_of_the_shapes_that_fit(
    num_prompt: int, room: int
) -> None:
    """Whatever the order of the shapes; a refusal names them all."""
    info, _ = settled("static", BatchingOptions(shapes=SHAPES))
    assert room_for(info, num_prompt) == room
    assert "100:30:1, 128:20:2, 64:40:4" in rule_of(info)


@pytest.mark.parametrize(("num_prompt", "room"), [(1, 129), (64, 128), (65, 65), (190, 1)])
def test_a_padded_prompt_leaves_less_room(num_prompt: int, room: int) -> None:
    """spyre_continuous fills the first block up; the last token of an answer needs no place."""
    info, _ = settled("spyre_continuous", BatchingOptions())
    assert room_for(info, num_prompt) == room


def test_a_policy_without_a_row_has_the_context() -> None:
    """A new policy works before anybody tells the front about it."""
    info, _ = settled("continuous", BatchingOptions())
    unknown = msgspec.structs.replace(info, scheduler="unheard_of")
    assert room_for(unknown, 60) == 132
    assert rule_of(unknown) == "the context is 192"

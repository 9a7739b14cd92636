"""What the engine tells on the wire: the geometry of every policy, and what the cache spared."""

import pytest
from google.protobuf.json_format import MessageToDict

from engine_svc.convert import to_response
from engine_svc.convert_geometry import geometry_message
from engine_svc.core.batching import BatchingOptions, Join, OverLimit, PauseOrder, WarmupShape
from engine_svc.core.messages import EngineInfo
from engine_svc.core.outputs import RequestOutput
from engine_svc.core.scheduler.registry import SCHEDULERS
from tests.support.engine_infos import engine_info
from tests.support.requests import request_spec

SHAPES = (
    WarmupShape(prompt_len=128, new_tokens=20, batch_size=2),
    WarmupShape(prompt_len=64, new_tokens=20, batch_size=4),
    WarmupShape(prompt_len=64, new_tokens=8, batch_size=1),
)


def info_of(policy: str, batching: BatchingOptions | None = None) -> EngineInfo:
    """An engine of 4 seats and 192 tokens under a policy."""
    return engine_info(
        scheduler=policy,
        max_model_len=192,
        max_num_batched_tokens=128,
        batching=batching or BatchingOptions(),
    )


def test_every_policy_has_its_rules_on_the_wire() -> None:
    """The oneof is named as the policy is."""
    for policy in SCHEDULERS:
        geometry = geometry_message(info_of(policy, BatchingOptions(shapes=SHAPES)))
        assert (geometry.scheduler, geometry.WhichOneof("rules")) == (policy, policy)


def test_a_policy_without_rules_is_told_by_name() -> None:
    """The gateway needs no more."""
    geometry = geometry_message(info_of("unheard_of"))
    assert (geometry.scheduler, geometry.WhichOneof("rules")) == ("unheard_of", None)


def test_shapes_are_told_fastest_first() -> None:
    """By batch, then by prompt: the order in which they are tried."""
    geometry = geometry_message(info_of("static", BatchingOptions(shapes=SHAPES)))
    told = [(s.prompt_len, s.new_tokens, s.batch_size) for s in geometry.static.shapes]
    assert told == [(64, 8, 1), (128, 20, 2), (64, 20, 4)]


def test_what_is_left_to_the_policy_is_told_as_it_is() -> None:
    """The limit is 4 rows of 192."""
    assert MessageToDict(
        geometry_message(info_of("spyre_continuous")).spyre_continuous,
        preserving_proto_field_name=True,
    ) == {"max_batch_tkv": 768, "join": "shift", "min_decode_rows": 1}


def test_what_was_asked_for_is_told() -> None:
    """Each option that the policy reads has its field."""
    batching = BatchingOptions(
        max_batch_tkv=500,
        min_decode_rows=2,
        interleave=False,
        over_limit=OverLimit.LOOK_AHEAD,
        pause_order=PauseOrder.MOST_FIRST,
        prefix_caching=False,
        join=Join.WAIT,
    )
    chunked = geometry_message(info_of("spyre_chunked", batching)).spyre_chunked
    assert (chunked.chunk_len, chunked.max_batch_tkv, chunked.min_decode_rows) == (128, 500, 2)
    assert (chunked.interleave, chunked.prefix_caching) == (False, False)
    assert (chunked.over_limit, chunked.pause_order) == ("look-ahead", "most-first")
    assert geometry_message(info_of("spyre_continuous", batching)).spyre_continuous.join == "wait"


@pytest.mark.parametrize("num_cached", [0, 64])
def test_cached_prompt_tokens_are_told_with_the_start(num_cached: int) -> None:
    """They become the caller's usage."""
    spec = request_spec("a", 70)
    output = RequestOutput(request_id=spec.request_id, is_first=True, num_cached_tokens=num_cached)
    assert to_response(spec, [output]).started.cached_prompt_tokens == num_cached


def test_the_largest_volume_fits_the_wire() -> None:
    """Seats times context may be more than the field holds; so is the limit then no larger."""
    geometry = geometry_message(
        engine_info(scheduler="spyre_chunked", max_num_seqs=1 << 20, max_model_len=1 << 20)
    )
    assert geometry.spyre_chunked.max_batch_tkv == (1 << 32) - 1

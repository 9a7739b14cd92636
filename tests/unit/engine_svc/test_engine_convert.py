"""What the engine tells on the wire: the geometry of every policy, and what the cache spared."""

from dataclasses import replace

import pytest
from google.protobuf.json_format import MessageToDict

from engine_svc.convert import sampling_message, to_response
from engine_svc.convert_geometry import geometry_message
from engine_svc.core.batching import BatchingOptions, Join, OverLimit, PauseOrder, WarmupShape
from engine_svc.core.messages import EngineInfo
from engine_svc.core.outputs import RequestOutput, TokenLogprobs
from engine_svc.core.params import LengthPenalty, SamplingParams
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


def test_all_that_is_used_is_told() -> None:
    """But the bad words: the engine knows only their ids."""
    sampling = SamplingParams(
        temperature=0.5,
        top_k=4,
        top_p=0.5,
        min_p=0.25,
        typical_p=0.75,
        seed=7,
        repetition_penalty=1.5,
        presence_penalty=-0.5,
        frequency_penalty=0.25,
        length_penalty=LengthPenalty(start_index=3, decay_factor=1.5),
        logit_bias=((2, -100.0), (9, 1.5)),
        bad_word_ids=((5,),),
    )
    message = sampling_message(sampling)
    assert MessageToDict(message, preserving_proto_field_name=True) == {
        "temperature": 0.5,
        "top_k": 4,
        "top_p": 0.5,
        "min_p": 0.25,
        "typical_p": 0.75,
        "seed": "7",
        "repetition_penalty": 1.5,
        "presence_penalty": -0.5,
        "frequency_penalty": 0.25,
        "length_penalty": {"start_index": 3, "decay_factor": 1.5},
        "logit_bias": {"2": -100.0, "9": 1.5},
    }


@pytest.mark.parametrize("limit_ms", [1, 1500, (1 << 32) - 1])
def test_a_time_limit_is_told_as_it_was_given(limit_ms: int) -> None:
    spec = request_spec("a")
    stopping = replace(spec.stopping, time_limit_s=limit_ms / 1e3)
    output = RequestOutput(request_id=spec.request_id, is_first=True)
    told = to_response(replace(spec, stopping=stopping), [output]).started.stopping
    assert told.time_limit_ms == limit_ms
    assert not to_response(spec, [output]).started.stopping.HasField("time_limit_ms")


def test_log_probabilities_stay_with_their_tokens() -> None:
    """What gathered is one message; the order of both is the same."""
    spec = request_spec("a")
    first, second = (
        RequestOutput(
            request_id=spec.request_id,
            first_position=at,
            token_ids=(5 + at,),
            logprobs=(TokenLogprobs(logprob=-0.5 - at, rank=1 + at, top=((9, -0.25), (5, -4.0))),),
        )
        for at in range(2)
    )
    delta = to_response(spec, [first, second]).delta
    assert list(delta.token_ids) == [5, 6]
    assert [(odds.logprob, odds.rank) for odds in delta.logprobs] == [(-0.5, 1), (-1.5, 2)]
    assert list(delta.logprobs[1].top_token_ids) == [9, 5]
    assert list(delta.logprobs[1].top_logprobs) == [-0.25, -4.0]


def test_the_largest_volume_fits_the_wire() -> None:
    """Seats times context may be more than the field holds; so is the limit then no larger."""
    geometry = geometry_message(
        engine_info(scheduler="spyre_chunked", max_num_seqs=1 << 20, max_model_len=1 << 20)
    )
    assert geometry.spyre_chunked.max_batch_tkv == (1 << 32) - 1

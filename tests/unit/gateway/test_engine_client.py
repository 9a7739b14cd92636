"""An engine as the gateway calls it."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest

from gateway.clients.engine import EngineClient
from gateway.upstream_values import EngineUpdate, TokenLogprobs
from gateway.values import FinishReason, LogprobsWanted
from steeple.common.v1 import finish_reason_pb2, sampling_pb2
from steeple.engine.v1 import (
    generate_pb2,
)
from steeple_rpc.channel import open_channel
from steeple_rpc.context import RpcContext, enter_rpc
from steeple_rpc.errors import (
    DeadlineExpired,
    EngineFault,
    InvalidRequest,
    Overloaded,
    ServiceError,
    Unavailable,
)
from tests.support.scripted_engines import REQUEST, Engines, updates_of
from tests.support.servers import Serving, serving
from tests.support.waiting import LIMIT_S


@pytest.fixture
def engines() -> Engines:
    return Engines()  # type: ignore[abstract] # the other RPCs are not called


@pytest.fixture
async def served(engines: Engines) -> AsyncIterator[Serving]:
    async with serving(engines.add_to) as served:
        yield served


@pytest.fixture
async def engine(served: Serving) -> AsyncIterator[EngineClient]:
    async with open_channel(served.address) as channel:
        client = EngineClient(channel, time.monotonic)
        yield client
        await client.close()


def heard(event: asyncio.Event) -> Callable[[EngineUpdate], bool]:
    """Takes everything; the event tells that something came."""

    def take(update: EngineUpdate) -> bool:
        event.set()
        return True

    return take


async def refusal(call: Any) -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        await call
    return caught.value


async def test_what_an_engine_serves_becomes_facts(engine: EngineClient) -> None:
    facts = await engine.facts()
    assert (facts.instance_id, facts.model, facts.scheduler) == ("i", "m", "continuous")
    assert (facts.kv_tokens, facts.max_concurrency) == (160, 1.6)
    assert facts.default_sampling == {"temperature": 0.5}
    assert (facts.runner, facts.load_ns, facts.version) == ("fms", 7, "9.9")
    assert (await engine.report()).num_requests == 5


async def test_a_request_travels_whole(engine: EngineClient, engines: Engines) -> None:
    await updates_of(engine)
    (request,) = engines.requests
    assert (request.request_id, request.model) == ("r", "m")
    assert list(request.prompt_token_ids) == [1, 2]
    assert request.sampling == sampling_pb2.SamplingParams(seed=7, temperature=0.0)
    assert request.stopping == sampling_pb2.StoppingParams(max_tokens=4, stop_token_ids=[9])
    assert request.priority == -2


async def test_an_engines_messages_become_updates(engine: EngineClient, engines: Engines) -> None:
    start = generate_pb2.GenerateResponse(
        started=generate_pb2.Started(
            sampling=sampling_pb2.SamplingParams(seed=7),
            stopping=sampling_pb2.StoppingParams(max_tokens=4),
            cached_prompt_tokens=1,
            queue_ns=2,
        )
    )
    delta = generate_pb2.GenerateResponse(
        delta=generate_pb2.TokenDelta(first_position=0, token_ids=[5, 0])
    )
    delta.finished.CopyFrom(
        generate_pb2.Finished(
            finish_reason=finish_reason_pb2.FINISH_REASON_EOS,
            stop_token_id=0,
            prefill_ns=3,
            decode_ns=4,
        )
    )
    engines.responses = [start, delta]
    assert await updates_of(engine) == [
        EngineUpdate(
            is_first=True,
            sampling={"seed": 7},
            stopping={"max_tokens": 4},
            num_cached_prompt_tokens=1,
            queue_ns=2,
        ),
        EngineUpdate(
            token_ids=(5, 0),
            finish_reason=FinishReason.EOS,
            stop_token_id=0,
            prefill_ns=3,
            decode_ns=4,
        ),
    ]


async def test_every_parameter_travels(engine: EngineClient, engines: Engines) -> None:
    request = replace(
        REQUEST,
        sampling={
            "seed": 7,
            "length_penalty": {"start_index": 1, "decay_factor": 2.0},
            "logit_bias": {5: -1.0},
        },
        bad_word_ids=((5, 6), (7,)),
        logprobs=LogprobsWanted(token_ids=(3, 1)),
        cache_salt="s",
    )
    await updates_of(engine, LIMIT_S, request)
    (got,) = engines.requests
    assert dict(got.sampling.logit_bias) == {5: -1.0}
    assert (got.sampling.length_penalty.start_index, got.cache_salt) == (1, "s")
    assert [list(way.ids) for way in got.bad_word_ids] == [[5, 6], [7]]
    assert got.output == sampling_pb2.OutputParams(logprobs=0, logprob_token_ids=[3, 1])
    await updates_of(engine)
    assert not engines.requests[1].HasField("cache_salt")
    assert not engines.requests[1].HasField("output")


async def test_log_probabilities_come_with_their_tokens(
    engine: EngineClient, engines: Engines
) -> None:
    odds = generate_pb2.TokenLogprobs(
        logprob=-0.5, rank=2, top_token_ids=[9, 5], top_logprobs=[-0.25, -0.5]
    )
    delta = generate_pb2.TokenDelta(token_ids=[5], logprobs=[odds])
    engines.responses = [generate_pb2.GenerateResponse(delta=delta)]
    (update,) = await updates_of(engine, at_most=1)
    assert update.logprobs == (TokenLogprobs(logprob=-0.5, rank=2, top=((9, -0.25), (5, -0.5))),)


async def test_candidates_without_odds_are_the_engines_fault(
    engine: EngineClient, engines: Engines
) -> None:
    odds = generate_pb2.TokenLogprobs(logprob=-0.5, rank=2, top_token_ids=[9, 5])
    delta = generate_pb2.TokenDelta(token_ids=[5], logprobs=[odds])
    engines.responses = [generate_pb2.GenerateResponse(delta=delta)]
    with pytest.raises(EngineFault) as caught:
        await updates_of(engine)
    assert caught.value.reason == "BAD_ENGINE"


async def test_an_end_without_a_stop_token_names_none(
    engine: EngineClient, engines: Engines
) -> None:
    """Token 0 is a token: unset is told apart from it."""
    reason = finish_reason_pb2.FINISH_REASON_MAX_TOKENS
    finished = generate_pb2.Finished(finish_reason=reason)
    engines.responses = [generate_pb2.GenerateResponse(finished=finished)]
    (update,) = await updates_of(engine)
    assert update.stop_token_id is None
    assert update.finish_reason is FinishReason.MAX_TOKENS


async def test_an_engines_own_refusal_is_told_as_it_is(
    engine: EngineClient, engines: Engines
) -> None:
    engines.error = Overloaded("full", reason="QUEUE_FULL", retry_after_s=1.0)
    error = await refusal(updates_of(engine))
    assert isinstance(error, Overloaded)
    assert vars(error) == vars(engines.error)


async def test_an_engines_refusal_names_the_field_as_the_caller_knows_it(
    engine: EngineClient, engines: Engines
) -> None:
    """Only a policy knows some limits; the engine's own field is in nobody else's contract."""
    engines.error = InvalidRequest("long", reason="PROMPT_TOO_LONG", field="prompt_token_ids")
    error = await refusal(updates_of(engine))
    assert (error.reason, error.field) == ("PROMPT_TOO_LONG", "prompt")


async def test_a_fault_inside_the_engine_is_ours_to_the_caller(
    engine: EngineClient, engines: Engines
) -> None:
    engines.error = EngineFault("internal error 1")
    assert isinstance(await refusal(updates_of(engine)), EngineFault)


async def test_an_engine_that_stops_under_a_stream_is_lost(
    served: Serving, engine: EngineClient, engines: Engines
) -> None:
    started = generate_pb2.Started()
    engines.responses, engines.hangs = [generate_pb2.GenerateResponse(started=started)], True
    started_here = asyncio.Event()
    generating = asyncio.create_task(engine.generate(REQUEST, None, heard(started_here)))
    await started_here.wait()
    await served.server.stop(0)
    error = await refusal(generating)
    assert isinstance(error, Unavailable)
    assert error.reason == "ENGINE_LOST"


async def test_an_engine_that_is_not_there_is_lost() -> None:
    async with open_channel("127.0.0.1:1") as channel:
        engine = EngineClient(channel, time.monotonic)
        for call in (engine.facts(), updates_of(engine)):
            error = await refusal(call)
            assert isinstance(error, Unavailable)
            assert error.reason == "ENGINE_LOST"


async def test_a_deadline_is_kept(engine: EngineClient, engines: Engines) -> None:
    engines.hangs = True
    error = await refusal(updates_of(engine, 0.05))
    assert isinstance(error, DeadlineExpired)
    assert error.reason == DeadlineExpired.default_reason


async def test_an_engine_is_told_how_long_the_caller_waits(
    engine: EngineClient, engines: Engines
) -> None:
    for timeout_s in (LIMIT_S, None):
        await updates_of(engine, timeout_s)
    first, second = engines.submits
    assert first.timeout_ns == LIMIT_S * 1_000_000_000
    assert not second.HasField("timeout_ns")


async def test_a_client_that_is_closed_has_ended_its_requests(
    engine: EngineClient, engines: Engines
) -> None:
    engines.responses, engines.hangs = [generate_pb2.GenerateResponse()], True
    started = asyncio.Event()
    generating = asyncio.create_task(engine.generate(REQUEST, None, heard(started)))
    await started.wait()
    await engine.close()
    assert (await refusal(generating)).reason == "ENGINE_LOST"


async def test_leaving_a_request_ends_it_on_the_engine(
    engine: EngineClient, engines: Engines
) -> None:
    started = generate_pb2.Started()
    engines.responses, engines.hangs = [generate_pb2.GenerateResponse(started=started)], True
    started_here = asyncio.Event()
    generating = asyncio.create_task(engine.generate(REQUEST, None, heard(started_here)))
    await started_here.wait()
    generating.cancel()
    async with asyncio.timeout(LIMIT_S):
        await engines.left.wait()


async def test_a_call_names_the_rpc_that_it_is_made_for(
    engine: EngineClient, engines: Engines
) -> None:
    """So that the engine's log can be laid beside the gateway's."""

    async def handle() -> None:
        enter_rpc(RpcContext(request_id="from-the-caller", deadline_s=None))
        await updates_of(engine)

    await asyncio.create_task(handle())
    assert engines.rpc_ids == ["from-the-caller"]

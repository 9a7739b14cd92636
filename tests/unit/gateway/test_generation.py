"""One output between an engine and a detokenize session, both scripted."""

import asyncio
from collections.abc import Iterator
from contextlib import aclosing
from typing import Any

import pytest
import structlog

from gateway.engine_run import EngineRun
from gateway.generation import Generation
from gateway.guarded_outbox import Patience
from gateway.output import Signal
from gateway.takeover import TakeoverLimits, Takeovers
from gateway.upstream_values import EngineUpdate, TextUpdate, TokenLogprobs
from gateway.values import EncodedPrompt, FinishReason, LogprobsWanted
from steeple_rpc.errors import (
    Aborted,
    DeadlineExpired,
    EngineFault,
    Overloaded,
    ServiceError,
    Unavailable,
)
from steeple_rpc.outbox import MAX_WAIT_S
from tests.support.gateway_fakes import (
    EOS,
    MODEL,
    FakeBackends,
    FakeDetokenizer,
    FakeEngine,
    FakeUpstream,
    catalog_of,
    ended,
    engine_facts,
    engine_state,
    first,
    generation_request,
    tokens,
)
from tests.support.virtual_time import in_virtual_time

PROMPT = EncodedPrompt(token_ids=(10, 11, 12), tail_start=1)
LONG_S = 60.0


class Clock:
    """Stands still until it is set."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def signals(
    engine: FakeEngine,
    detokenizer: FakeDetokenizer,
    *,
    timeout_s: float = LONG_S,
    grace_s: float = LONG_S,
    clock: Clock | None = None,
    **request: Any,
) -> Any:
    """The output's batches of signals; a generator."""
    clock = clock or Clock()
    generation = Generation(
        generation_request(**request), PROMPT, MODEL, Patience(timeout_s=timeout_s, grace_s=grace_s)
    )
    backends = FakeBackends(catalog_of(engine_state()), [FakeUpstream(engine)])
    # What is lost is told: taking over has tests of its own.
    takeovers = Takeovers(TakeoverLimits(max_takeovers=0), draw=lambda: 0.0)
    run = EngineRun(
        generation.engine_request(),
        engine_facts(),
        backends,
        takeovers,
        clock,
        deadline_s=clock.now + timeout_s,
    )
    return generation.signals(run, detokenizer, clock)  # type: ignore[arg-type] # fakes


async def all_of(batches: Any) -> list[Signal]:
    async with aclosing(batches):
        return [signal async for batch in batches for signal in batch]


def texts(signals: list[Signal]) -> str:
    return "".join(signal.text for signal in signals if isinstance(signal, TextUpdate))


async def test_ids_go_in_and_text_comes_out_until_the_end() -> None:
    engine = FakeEngine([first(), tokens(0, 5), ended(1, 6)])
    detokenizer = FakeDetokenizer()
    got = await all_of(signals(engine, detokenizer))
    assert texts(got) == "<5><6>"
    assert isinstance(got[-1], TextUpdate)
    assert got[-1].is_final
    (session,) = detokenizer.sessions
    assert session.pushes == [(0, (5,), False), (1, (6,), True)]
    assert session.is_closed
    assert engine.num_running == 0


async def test_the_engine_gets_ids_and_no_stop_strings() -> None:
    engine, detokenizer = FakeEngine([first(), ended(0, 5)]), FakeDetokenizer()
    stopping = {"max_tokens": 4}
    await all_of(
        signals(engine, detokenizer, stopping=stopping, stop=("x",), min_tokens=2, priority=4)
    )
    (request,) = engine.requests
    assert request.prompt_token_ids == PROMPT.token_ids
    assert (request.model, request.sampling, request.stopping) == (MODEL, {"seed": 7}, stopping)
    assert (request.priority, engine.timeouts) == (4, [LONG_S])
    (session,) = detokenizer.sessions
    assert session.options.prompt_tail_ids == (11, 12)
    assert (session.options.stop, session.options.min_tokens) == (("x",), 2)


async def test_candidates_are_decoded_beside_the_output_each_once() -> None:
    """Their texts come with the token's own: never a call per token."""
    odds = TokenLogprobs(logprob=-1.0, rank=1, top=((8, -1.0), (9, -2.0)))
    last = TokenLogprobs(logprob=-1.0, rank=1, top=((9, -1.0), (8, -2.0)))
    engine = FakeEngine(
        [first(), tokens(0, 5, 6, logprobs=(odds, odds)), ended(2, 7, logprobs=(last,))]
    )
    detokenizer = FakeDetokenizer()
    await all_of(signals(engine, detokenizer, logprobs=LogprobsWanted(num_top=2)))
    (session,) = detokenizer.sessions
    assert session.asides == [(8, 9), (9, 8)]
    assert session.options.token_texts
    assert engine.requests[0].logprobs == LogprobsWanted(num_top=2)


async def test_the_engines_id_of_a_request_is_new_each_time() -> None:
    """Callers may use an id again; a dying engine must not take one request for another."""
    engine = FakeEngine([first(), ended(0, 5)])
    for _ in range(2):
        await all_of(signals(engine, FakeDetokenizer()))
    ids = [request.request_id for request in engine.requests]
    assert len(set(ids)) == 2
    assert all(request_id.endswith("/0#1") for request_id in ids)


async def test_an_end_token_has_no_text_unless_asked_for() -> None:
    end = ended(0, 5, EOS, reason=FinishReason.EOS, stop_token_id=EOS)
    for include, pushed in ((False, (5,)), (True, (5, EOS))):
        detokenizer = FakeDetokenizer()
        await all_of(
            signals(FakeEngine([first(), end]), detokenizer, include_stop_in_output=include)
        )
        assert detokenizer.sessions[0].pushes == [(0, pushed, True)]


async def test_an_end_without_tokens_comes_at_the_position_that_was_reached() -> None:
    """An aborted request's last message has no ids and so no position: no gap is seen."""
    end = EngineUpdate(finish_reason=FinishReason.ABORTED)
    detokenizer = FakeDetokenizer()
    got = await all_of(signals(FakeEngine([first(), tokens(0, 5, 6), end]), detokenizer))
    assert detokenizer.sessions[0].pushes[-1] == (2, (), True)
    assert texts(got) == "<5><6>"


async def test_a_stop_string_ends_the_engines_call() -> None:
    """What the engine still produces nobody wants."""
    engine = FakeEngine([first(), tokens(0, 5), tokens(1, 6), tokens(2, 7)], hangs=True)
    got = await all_of(signals(engine, FakeDetokenizer(stop_at=6)))
    assert texts(got) == "<5>"
    assert isinstance(got[-1], TextUpdate)
    assert got[-1].matched_stop == "STOP"
    assert engine.num_running == 0


async def test_leaving_early_ends_the_engines_call_and_the_session() -> None:
    engine, detokenizer = FakeEngine([first(), tokens(0, 5)], hangs=True), FakeDetokenizer()
    batches = signals(engine, detokenizer)
    await anext(batches)
    assert engine.num_running == 1
    await batches.aclose()
    assert engine.num_running == 0
    assert detokenizer.sessions[0].is_closed


async def test_cancelling_ends_the_engines_call_and_the_session() -> None:
    engine, detokenizer = FakeEngine([first()], hangs=True), FakeDetokenizer()
    reading = asyncio.ensure_future(all_of(signals(engine, detokenizer)))
    await engine.entered.wait()
    reading.cancel()
    await asyncio.wait({reading})
    assert reading.cancelled()
    assert engine.num_running == 0
    assert detokenizer.sessions[0].is_closed


@pytest.mark.parametrize("turns", range(1, 5))
async def test_being_cancelled_again_while_leaving_closes_the_session_all_the_same(
    turns: int,
) -> None:
    """A deadline and a caller that leaves may come together, at any distance."""
    engine, detokenizer = FakeEngine([first(), tokens(0, 5)], hangs=True), FakeDetokenizer()
    reading = asyncio.create_task(all_of(signals(engine, detokenizer)))
    await engine.entered.wait()
    reading.cancel()
    for _ in range(turns):
        await asyncio.sleep(0)
    reading.cancel()
    await asyncio.wait({reading})
    await engine.left.wait()
    assert detokenizer.sessions[0].is_closed
    assert engine.num_running == 0


@pytest.mark.parametrize(
    "error", [Overloaded("full", reason="QUEUE_FULL"), Unavailable("gone", reason="ENGINE_LOST")]
)
async def test_an_error_of_the_engines_is_told_as_it_is(error: ServiceError) -> None:
    detokenizer = FakeDetokenizer()
    with pytest.raises(type(error)) as caught:
        await all_of(signals(FakeEngine([first(), tokens(0, 5)], error=error), detokenizer))
    assert caught.value is error
    assert detokenizer.sessions[0].is_closed


async def test_text_before_an_error_is_delivered() -> None:
    engine = FakeEngine([first(), tokens(0, 5)], error=Unavailable("gone"))
    batches = signals(engine, FakeDetokenizer())
    assert texts(list(await anext(batches))) == "<5>"
    with pytest.raises(Unavailable):
        await anext(batches)


async def test_a_stream_that_ends_without_a_reason_is_the_engines_fault() -> None:
    with pytest.raises(EngineFault) as caught:
        await all_of(signals(FakeEngine([first(), tokens(0, 5)]), FakeDetokenizer()))
    assert caught.value.reason == "BAD_ENGINE"


async def test_a_gap_in_the_engines_tokens_is_noticed() -> None:
    engine = FakeEngine([first(), tokens(0, 5), tokens(2, 7)], hangs=True)
    with pytest.raises(EngineFault, match="position 2") as caught:
        await all_of(signals(engine, FakeDetokenizer()))
    assert caught.value.reason == "BAD_ENGINE"
    assert engine.num_running == 0


async def test_a_fault_of_ours_is_not_swallowed() -> None:
    engine = FakeEngine([first()], error=ZeroDivisionError("ours"))
    with pytest.raises(ZeroDivisionError, match="ours"):
        await all_of(signals(engine, FakeDetokenizer()))


async def test_no_engine_is_asked_while_nobody_can_decode() -> None:
    engine = FakeEngine([first(), ended(0, 5)])
    detokenizer = FakeDetokenizer(error=Unavailable("away", reason="TOKENIZER_LOST"))
    with pytest.raises(Unavailable, match="away"):
        await all_of(signals(engine, detokenizer))
    assert engine.requests == []


async def test_no_session_waits_while_the_request_queues() -> None:
    """A session that gets no token expires; a queue may be longer than its time to live."""
    engine, detokenizer = FakeEngine([], hangs=True), FakeDetokenizer()
    reading = asyncio.ensure_future(all_of(signals(engine, detokenizer)))
    await engine.entered.wait()
    assert detokenizer.sessions == []
    reading.cancel()
    await asyncio.wait({reading})
    assert engine.num_running == 0


async def test_a_decoder_that_goes_while_the_request_queues_ends_it() -> None:
    gone = Unavailable("away", reason="TOKENIZER_LOST")
    detokenizer = FakeDetokenizer()

    def updates() -> Iterator[EngineUpdate]:
        detokenizer.error = gone
        yield first()
        raise AssertionError("the engine was asked for more")

    engine = FakeEngine(updates())
    with pytest.raises(Unavailable) as caught:
        await all_of(signals(engine, detokenizer))
    assert caught.value is gone
    assert engine.num_running == 0


async def test_a_request_that_is_aborted_in_the_queue_has_no_events() -> None:
    """Nothing comes before the start, so an end cannot come without one."""
    detokenizer = FakeDetokenizer()
    engine = FakeEngine([EngineUpdate(finish_reason=FinishReason.ABORTED)])
    with pytest.raises(Aborted):
        await all_of(signals(engine, detokenizer))
    assert detokenizer.sessions == []


async def test_an_engine_that_skips_the_start_is_at_fault() -> None:
    with pytest.raises(EngineFault) as caught:
        await all_of(signals(FakeEngine([tokens(0, 5)]), FakeDetokenizer()))
    assert caught.value.reason == "BAD_ENGINE"


@in_virtual_time
async def test_a_caller_who_never_reads_again_loses_everything_in_time() -> None:
    """His handler waits in a write, where no error reaches it."""
    engine, detokenizer = FakeEngine([first(), tokens(0, 5)], hangs=True), FakeDetokenizer()

    async def handle() -> None:
        async with aclosing(signals(engine, detokenizer, timeout_s=0.01, grace_s=0.01)) as batches:
            await anext(batches)
            await asyncio.Event().wait()

    handling = asyncio.create_task(handle())
    with structlog.testing.capture_logs() as logs:
        done, _ = await asyncio.wait({handling}, timeout=LONG_S)
    assert done
    assert handling.cancelled()
    assert [line["event"] for line in logs] == ["slow_reader_ended"]
    assert engine.num_running == 0
    assert detokenizer.sessions[0].is_closed


@in_virtual_time
async def test_a_session_that_never_ends_is_over_in_time() -> None:
    """The engine keeps its deadline; a tokenizer service that hangs has none of its own."""
    engine = FakeEngine([first(), ended(0, 5)])
    with pytest.raises(DeadlineExpired):
        async with asyncio.timeout(LONG_S):
            await all_of(signals(engine, FakeDetokenizer(answers=False), timeout_s=0.01))


async def test_a_caller_who_reads_too_slowly_costs_the_engine_nothing_more() -> None:
    """Once something has waited for too long, no further token is asked for."""
    clock = Clock()
    engine = FakeEngine(_slowing(clock))
    with pytest.raises(Overloaded) as caught:
        await all_of(signals(engine, FakeDetokenizer(), clock=clock))
    assert caught.value.reason == "CLIENT_TOO_SLOW"
    assert engine.num_running == 0


def _slowing(clock: Clock) -> Iterator[EngineUpdate]:
    yield first()
    yield tokens(0, 5)
    clock.now += MAX_WAIT_S + 1
    yield tokens(1, 6)
    raise AssertionError("the engine was asked for more")

"""An output goes on at another engine as if nothing had happened; every way to lose one."""

import asyncio

import pytest

from gateway.catalog import EngineState
from gateway.takeover import TakeoverLimits
from gateway.upstream_values import EngineUpdate
from gateway.values import FinishReason
from steeple_rpc.errors import (
    Aborted,
    DeadlineExpired,
    EngineFault,
    InvalidRequest,
    Overloaded,
    Unavailable,
)
from tests.support.engine_runs import (
    NUM_TOKENS,
    PROMPT,
    Pool,
    failed,
    ids,
    run_of,
    updates_of,
)
from tests.support.gateway_fakes import (
    FakeEngine,
    catalog_of,
    ended,
    engine_state,
    first,
    tokens,
)
from tests.support.resuming_engine import Life, ResumingEngine, answer, lost


@pytest.mark.parametrize("cut", range(NUM_TOKENS))
@pytest.mark.parametrize("reason", ["ENGINE_LOST", "ENGINE_STALLED", "DRAINING", "STARTING"])
async def test_another_engine_goes_on_where_the_first_was_cut(cut: int, reason: str) -> None:
    dying = ResumingEngine([Life(num_tokens=cut, error=lost(reason))])
    healthy = ResumingEngine()
    pool = Pool(dying, healthy)
    updates = await updates_of(run_of(pool))
    assert ids(updates) == answer(PROMPT, NUM_TOKENS)
    assert updates[-1].finish_reason is FinishReason.MAX_TOKENS
    (request,) = healthy.requests
    assert list(request.prior_output_token_ids) == answer(PROMPT, cut)
    assert request.prompt_token_ids == PROMPT
    assert request.request_id == "u/0#2"
    assert pool.reasons == [reason]
    assert pool.is_idle


async def test_an_engine_that_never_computed_it_is_replaced_too() -> None:
    healthy = ResumingEngine()
    updates = await updates_of(run_of(Pool(ResumingEngine([Life(starts=False)]), healthy)))
    assert ids(updates) == answer(PROMPT, NUM_TOKENS)
    assert healthy.requests[0].prior_output_token_ids == ()
    assert sum(update.is_first for update in updates) == 1


async def test_the_next_engine_is_asked_for_what_the_first_one_used() -> None:
    """Its own defaults may be others, the length of an answer that has no limit among them."""
    used = {"max_tokens": NUM_TOKENS, "min_tokens": 1}
    dying = FakeEngine(
        [first(sampling={"temperature": 1.0}, stopping=used)], error=lost("ENGINE_LOST")
    )
    healthy = ResumingEngine()
    await updates_of(run_of(Pool(dying, healthy), max_tokens=None))
    assert healthy.requests[0].sampling == {"seed": 7, "temperature": 1.0}
    assert healthy.requests[0].stopping == used


async def test_the_same_engine_goes_on_when_its_core_is_back() -> None:
    engine = ResumingEngine([Life(num_tokens=3), Life()])
    pool = Pool(engine)

    def die_and_come_back() -> None:
        pool.go(0)
        asyncio.get_running_loop().call_later(0.02, pool.come, 0)

    engine.on_loss = die_and_come_back
    updates = await updates_of(run_of(pool))
    assert ids(updates) == answer(PROMPT, NUM_TOKENS)
    assert len(engine.requests) == 2


async def test_a_single_engine_that_only_lost_the_call_is_asked_again() -> None:
    """Its core is the same one; it is left alone for a moment."""
    engine = ResumingEngine([Life(num_tokens=3), Life()])
    updates = await updates_of(run_of(Pool(engine)))
    assert ids(updates) == answer(PROMPT, NUM_TOKENS)


async def test_two_losses_are_mended_and_the_third_is_the_end() -> None:
    two = ResumingEngine([Life(num_tokens=2), Life(num_tokens=2), Life()])
    assert ids(await updates_of(run_of(Pool(two)))) == answer(PROMPT, NUM_TOKENS)
    three = ResumingEngine([Life(num_tokens=2)])
    delivered, error = await failed(run_of(Pool(three)))
    assert delivered == answer(PROMPT, 6)
    assert isinstance(error, Unavailable)
    assert error.reason == "ENGINE_LOST"
    assert [request.request_id for request in three.requests] == ["u/0#1", "u/0#2", "u/0#3"]


async def test_no_engine_in_time_ends_it_with_its_tokens_delivered() -> None:
    engine = ResumingEngine([Life(num_tokens=3)])
    pool = Pool(engine)
    engine.on_loss = lambda: pool.go(0)
    delivered, error = await failed(run_of(pool, limits=TakeoverLimits(timeout_s=0.02)))
    assert delivered == answer(PROMPT, 3)
    assert error.reason == "ENGINE_LOST"
    assert "0.02 s" in error.message


@pytest.mark.parametrize(
    "changed", [{"model_fingerprint": "other"}, {"tokenizer_fingerprint": "other"}]
)
async def test_an_engine_that_computes_something_else_does_not_go_on(
    changed: dict[str, str],
) -> None:
    dying, other = ResumingEngine([Life(num_tokens=3)]), ResumingEngine()
    pool = Pool(dying, other)
    pool.come(1, **changed)
    dying.on_loss = lambda: pool.go(0)
    _, error = await failed(run_of(pool, limits=TakeoverLimits(timeout_s=0.02)))
    assert error.reason == "ENGINE_LOST"
    assert other.requests == []


async def test_a_full_engine_is_asked_until_it_has_room() -> None:
    """The caller's first request would be refused at once; what was accepted is kept."""
    full = Life(starts=False, error=Overloaded("full", reason="QUEUE_FULL"))
    busy = ResumingEngine([full, full, Life()])
    dying = ResumingEngine([Life(num_tokens=3)])
    pool = Pool(dying, busy)
    dying.on_loss = lambda: pool.go(0)
    assert ids(await updates_of(run_of(pool))) == answer(PROMPT, NUM_TOKENS)
    assert len(busy.requests) == 3


async def test_a_full_engine_refuses_a_new_request_at_once() -> None:
    full = ResumingEngine([Life(starts=False, error=Overloaded("full", reason="QUEUE_FULL"))])
    _, error = await failed(run_of(Pool(full)))
    assert (error.reason, len(full.requests)) == ("QUEUE_FULL", 1)


@pytest.mark.parametrize("reason", ["DRAINING", "STARTING"])
async def test_what_never_began_is_refused_as_what_comes_now_would_be(reason: str) -> None:
    """At once, and in the engine's own words: another replica may serve it."""
    refusing = ResumingEngine([Life(starts=False, error=lost(reason))])
    _, error = await failed(run_of(Pool(refusing)))
    assert (error.reason, error.message, len(refusing.requests)) == (reason, "gone", 1)


async def test_what_never_began_goes_on_when_its_lost_engine_is_back() -> None:
    """It may have waited there for long; that the next core still starts is no refusal of it."""
    starting = Life(starts=False, error=lost("STARTING"))
    engine = ResumingEngine([Life(starts=False), starting, Life()])
    assert ids(await updates_of(run_of(Pool(engine)))) == answer(PROMPT, NUM_TOKENS)


@pytest.mark.parametrize("num_tokens", [0, 3])
async def test_an_engine_that_cannot_take_what_was_begun_ends_it(num_tokens: int) -> None:
    """Also before the first token: it was begun with limits that the caller may not have named."""
    narrow = InvalidRequest("too long", reason="PROMPT_TOO_LONG", field="prompt")
    pool = Pool(
        ResumingEngine([Life(num_tokens=num_tokens)]),
        ResumingEngine([Life(starts=False, error=narrow)]),
    )
    delivered, error = await failed(run_of(pool))
    assert delivered == answer(PROMPT, num_tokens)
    assert (type(error), error.reason) == (Unavailable, "ENGINE_LOST")


async def test_an_engine_lost_after_its_last_token_leaves_nothing_to_do() -> None:
    """All tokens are there; only the word that it was the last one was lost."""
    engine = FakeEngine(
        [first(stopping={"max_tokens": 2}), tokens(0, 5, 6)], error=lost("ENGINE_LOST")
    )
    updates = await updates_of(run_of(Pool(engine), max_tokens=2))
    assert ids(updates) == [5, 6]
    assert updates[-1].finish_reason is FinishReason.MAX_TOKENS
    assert len(engine.requests) == 1


async def test_an_engine_lost_after_its_end_has_ended() -> None:
    engine = FakeEngine([first(), ended(0, 5)], error=lost())
    assert ids(await updates_of(run_of(Pool(engine)))) == [5]
    assert len(engine.requests) == 1


async def test_an_engine_that_falls_silent_after_its_end_has_ended() -> None:
    """Its stream's status never comes; nobody is asked to go on behind the end."""
    engine, other = FakeEngine([first(), ended(0, 5)], hangs=True), ResumingEngine()
    pool = Pool(engine, other)
    running = asyncio.create_task(updates_of(run_of(pool)))
    await engine.entered.wait()
    pool.backends.engines[0].stall.interrupt(lost("ENGINE_STALLED"))
    assert ids(await running) == [5]
    assert other.requests == []


async def test_a_time_limit_goes_on_counting_at_the_next_engine() -> None:
    class Clock:
        now = 100.0

        def __call__(self) -> float:
            return self.now

    clock = Clock()
    dying, healthy = ResumingEngine([Life(num_tokens=3)]), ResumingEngine()

    def takes_time() -> None:
        clock.now += 0.75

    dying.on_loss = takes_time
    await updates_of(run_of(Pool(dying, healthy), clock=clock, time_limit_ms=1000))
    assert healthy.requests[0].stopping["time_limit_ms"] == 250
    assert healthy.timeouts == [60.0 - 0.75]


async def test_a_time_limit_that_passes_without_an_engine_ends_the_output() -> None:
    """That is a result and no error, as where an engine keeps the limit."""
    engine = ResumingEngine([Life(num_tokens=3)])
    pool = Pool(engine)
    engine.on_loss = lambda: pool.go(0)
    updates = await updates_of(run_of(pool, time_limit_ms=20))
    assert ids(updates) == answer(PROMPT, 3)
    assert updates[-1].finish_reason is FinishReason.TIME_LIMIT


@pytest.mark.parametrize(
    "wrong",
    [
        [first(), tokens(1, 5)],
        [first(), tokens(0, 5), tokens(0, 5)],
        [first(), tokens(0, 5, 6), tokens(1, 6, 7)],
        [first(), tokens(0, 5), tokens(2, 7)],
        [tokens(0, 5)],
        [first(), first()],
        [EngineUpdate()],
    ],
    ids=["late", "double", "overlap", "gap", "no start", "two starts", "empty"],
)
async def test_what_no_engine_may_tell_is_its_fault_and_not_passed_on(
    wrong: list[EngineUpdate],
) -> None:
    healthy = ResumingEngine()
    delivered, error = await failed(run_of(Pool(FakeEngine(wrong), healthy)))
    assert (type(error), error.reason) == (EngineFault, "BAD_ENGINE")
    assert delivered == ids(wrong[:-1])
    assert healthy.requests == []


async def test_a_wrong_position_of_the_second_engine_is_noticed_too() -> None:
    """It counts from the output's beginning, not from its own."""
    wrong = FakeEngine([first(), tokens(0, 5)])
    delivered, error = await failed(run_of(Pool(ResumingEngine([Life(num_tokens=3)]), wrong)))
    assert error.reason == "BAD_ENGINE"
    assert delivered == answer(PROMPT, 3)


async def test_what_is_not_wanted_any_more_is_not_taken_over() -> None:
    engine, other = ResumingEngine([Life(num_tokens=3)]), ResumingEngine()
    taken: list[EngineUpdate] = []

    def take(update: EngineUpdate) -> bool:
        taken.append(update)
        return len(taken) < 2

    await run_of(Pool(engine, other)).run(take)
    assert (engine.num_running, other.requests) == (0, [])


async def test_an_abort_by_somebody_else_is_the_end_wherever_it_comes() -> None:
    """Before any start it has no events; after one it is a regular end."""
    aborted = EngineUpdate(finish_reason=FinishReason.ABORTED)
    _, error = await failed(run_of(Pool(FakeEngine([aborted]))))
    assert isinstance(error, Aborted)
    pool = Pool(ResumingEngine([Life(num_tokens=3)]), FakeEngine([aborted]))
    updates = await updates_of(run_of(pool))
    assert ids(updates) == answer(PROMPT, 3)
    assert updates[-1].finish_reason is FinishReason.ABORTED


async def test_a_deadline_that_passes_while_no_engine_is_there_is_told_as_such() -> None:
    engine = ResumingEngine([Life(num_tokens=3), Life()])
    _, error = await failed(run_of(Pool(engine), timeout_s=0.02))
    assert isinstance(error, DeadlineExpired)


async def test_an_equal_engine_is_preferred_to_one_that_just_failed() -> None:
    """Whatever the load says: what is known of it may be old."""
    dying, busy = ResumingEngine([Life(num_tokens=3)]), ResumingEngine()
    pool = Pool(dying, busy)
    states: list[EngineState] = [engine_state(0), engine_state(1, num_requests=50)]
    pool.backends.now = catalog_of(*states)
    assert ids(await updates_of(run_of(pool))) == answer(PROMPT, NUM_TOKENS)
    assert (len(dying.requests), len(busy.requests)) == (1, 1)


async def test_an_engine_that_went_before_it_was_asked_is_waited_for() -> None:
    """The request had been let in; nothing was told yet."""
    engine = ResumingEngine()
    pool = Pool(engine)
    pool.go(0)
    asyncio.get_running_loop().call_later(0.02, pool.come, 0)
    assert ids(await updates_of(run_of(pool))) == answer(PROMPT, NUM_TOKENS)
    pool.go(0)
    _, error = await failed(run_of(pool, limits=TakeoverLimits(timeout_s=0.02)))
    assert error.reason == "ENGINE_NOT_READY"

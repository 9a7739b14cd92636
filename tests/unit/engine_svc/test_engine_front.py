"""The front and a real core loop on a thread: requests in, outputs out, faults told."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from engine_svc.core.in_thread import InThreadCore
from engine_svc.core.messages import CoreConfig
from engine_svc.core.outputs import RequestOutput
from engine_svc.core.params import FinishReason, RequestId
from engine_svc.core.request_spec import RequestSpec
from engine_svc.core.runner.fake_options import FakeOptions, FakeReply
from engine_svc.core_keeper import CoreKeeper, StartupRefused
from engine_svc.front import EngineFront
from steeple_rpc.errors import (
    AlreadyExists,
    DeadlineExpired,
    EngineFault,
    InvalidRequest,
    Overloaded,
    Unavailable,
)
from steeple_rpc.outbox import Outbox
from tests.support.models import GRANITE, VOCAB_SIZE, save_model
from tests.support.requests import request_spec
from tests.support.scripted_core import ScriptedCore

BAD, CRASH = 66, 77


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("model"), GRANITE)


def make_front(
    model_dir: Path,
    *,
    max_num_seqs: int = 4,
    max_num_waiting: int = 4,
    reply: FakeReply = FakeReply.ECHO,
) -> EngineFront:
    """A front over a fake model on a thread."""
    config = CoreConfig(
        model_dir=str(model_dir),
        runner="fake",
        max_num_seqs=max_num_seqs,
        max_num_batched_tokens=8,
        block_size=4,
        fake=FakeOptions(fault_token_id=BAD, raise_token_id=CRASH, reply=reply),
    )
    keeper = CoreKeeper(
        InThreadCore,
        config,
        environment={},
        startup_timeout_s=30.0,
        step_deadline_s=60.0,
        clock=time.monotonic,
    )
    return EngineFront(keeper, max_num_waiting=max_num_waiting, clock=time.monotonic)


class Ready:
    """Remembers readiness and lets a test wait for it."""

    def __init__(self) -> None:
        self.event = asyncio.Event()

    async def __call__(self, *, ready: bool) -> None:
        if ready:
            self.event.set()


@pytest.fixture
async def front(model_dir: Path) -> AsyncIterator[EngineFront]:
    made = make_front(model_dir)
    async with running(made):
        yield made


class running:  # noqa: N801 - reads as a phrase: async with running(front)
    """Runs a front while in the block."""

    def __init__(self, front: EngineFront) -> None:
        self._front = front

    async def __aenter__(self) -> None:
        ready = Ready()
        self._task = asyncio.create_task(self._front.run(ready))
        await ready.event.wait()

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


async def collect(outbox: Outbox[RequestOutput]) -> list[RequestOutput]:
    """All outputs until the end."""
    return [output async for batch in outbox.batches() for output in batch]


async def tokens_of(front: EngineFront, spec: RequestSpec) -> list[int]:
    """The tokens of one request, released as the service does it."""
    outputs = await collect(front.submit(spec))
    front.release(spec.request_id)
    return [token for output in outputs for token in output.token_ids]


async def test_a_request_gets_its_tokens_and_its_end(front: EngineFront) -> None:
    """In order, with the reason in the last output."""
    outputs = await collect(front.submit(request_spec("a", (5, 6, 7), 5)))
    assert [t for o in outputs for t in o.token_ids] == [5, 6, 7, 5, 6]
    assert outputs[-1].finish_reason is FinishReason.MAX_TOKENS


async def test_a_live_id_is_not_taken_twice(front: EngineFront) -> None:
    """The second is refused, the first is untouched."""
    outbox = front.submit(request_spec("a", (5, 6), 30))
    with pytest.raises(AlreadyExists):
        front.submit(request_spec("a", (5, 6), 30))
    assert len([t for o in await collect(outbox) for t in o.token_ids]) == 30


async def test_more_than_the_bound_is_refused_with_a_time_to_retry(model_dir: Path) -> None:
    """QUEUE_FULL names count and limit."""
    front = make_front(model_dir, max_num_seqs=1, max_num_waiting=0)
    async with running(front):
        front.submit(request_spec("a", (5, 6), 30))
        with pytest.raises(Overloaded, match="limit is 1") as refusal:
            front.submit(request_spec("b", (5, 6), 30))
        assert refusal.value.retry_after_s is not None


async def test_a_released_request_frees_its_blocks(front: EngineFront) -> None:
    """The next thing that runs finds the pool as it was."""
    front.submit(request_spec("a", (5, 6), 90))
    front.release(RequestId("a"))
    await tokens_of(front, request_spec("b", (5, 6), 2))
    assert front.load is not None
    assert front.load.load.num_used_blocks == 0


async def test_a_name_that_is_used_again_gets_only_its_own_tokens(front: EngineFront) -> None:
    """What a step still computes for the first one is not delivered to the second."""
    for _ in range(20):
        front.submit(request_spec("a", (8, 9), 90))
        front.release(RequestId("a"))
        assert await tokens_of(front, request_spec("a", (5, 6), 3)) == [5, 6, 5]


async def test_an_abort_by_somebody_else_is_told_to_the_caller(front: EngineFront) -> None:
    """The stream ends with the reason, not with silence."""
    outbox = front.submit(request_spec("a", (5, 6), 90))
    front.abort([RequestId("a"), RequestId("unknown")])
    assert (await collect(outbox))[-1].finish_reason is FinishReason.ABORTED


async def test_non_finite_logits_end_only_their_request(front: EngineFront) -> None:
    """The neighbour's tokens are what they are without it."""
    good = request_spec("good", (5, 6, 7), 9)
    alone = await tokens_of(front, good)
    bad = front.submit(request_spec("bad", (5, BAD), 9))
    assert await tokens_of(front, good) == alone
    with pytest.raises(EngineFault) as fault:
        await collect(bad)
    assert fault.value.reason == "NON_FINITE_LOGITS"


async def test_a_step_that_raises_fails_its_requests_and_the_engine_goes_on(
    front: EngineFront,
) -> None:
    """STEP_FAILED without any Python words; the next request is served."""
    with pytest.raises(EngineFault) as fault:
        await tokens_of(front, request_spec("bad", (CRASH,), 9))
    assert fault.value.reason == "STEP_FAILED"
    assert "scripted" not in fault.value.message
    assert await tokens_of(front, request_spec("good", (5,), 2)) == [5, 5]


async def test_what_never_fits_is_refused_by_the_core_too(front: EngineFront) -> None:
    """The core trusts nobody: the reason names the limit."""
    with pytest.raises(InvalidRequest, match="context of 128") as refusal:
        await tokens_of(front, request_spec("a", (5,), 10_000))
    assert (refusal.value.reason, refusal.value.field) == (
        "REQUEST_NEVER_FITS",
        "stopping.max_tokens",
    )


async def test_a_request_that_forbids_everything_is_told_that_it_is_wrong(
    model_dir: Path,
) -> None:
    """Not that the engine failed; the next request is served."""
    sampled = make_front(model_dir, reply=FakeReply.SAMPLED)
    async with running(sampled):
        wanted = request_spec("a", (5,), 9)
        every = tuple((token,) for token in range(VOCAB_SIZE))
        bad = replace(wanted, sampling=replace(wanted.sampling, bad_word_ids=every))
        with pytest.raises(InvalidRequest) as refusal:
            await tokens_of(sampled, bad)
        assert (refusal.value.reason, refusal.value.field) == ("NO_TOKEN_LEFT", "sampling")
        assert len(await tokens_of(sampled, request_spec("b", (5,), 9))) == 9


async def test_a_time_limit_that_passes_while_it_waits_is_an_answer(front: EngineFront) -> None:
    """One update that tells start and end; nothing failed, and the others go on."""
    seated = [front.submit(request_spec(f"s{i}", (5, 6), 60)) for i in range(4)]
    late = front.submit(request_spec("late", (7,), 2, time_limit_s=0.0))
    (output,) = await collect(late)
    assert (output.is_first, output.finish_reason) == (True, FinishReason.TIME_LIMIT)
    assert output.token_ids == ()
    for outbox in seated:
        assert len([t for o in await collect(outbox) for t in o.token_ids]) == 60


async def test_a_deadline_that_passes_while_it_waits_is_told_as_one(
    front: EngineFront,
) -> None:
    """All seats are taken: it never starts, and the others go on."""
    seated = [front.submit(request_spec(f"s{i}", (5, 6), 60)) for i in range(4)]
    late = front.submit(replace(request_spec("late", (7,), 2), timeout_s=0.0))
    with pytest.raises(DeadlineExpired):
        await collect(late)
    for outbox in seated:
        assert len([t for o in await collect(outbox) for t in o.token_ids]) == 60


async def test_a_starting_and_a_draining_engine_refuse(model_dir: Path) -> None:
    """With reasons of their own."""
    front = make_front(model_dir)
    with pytest.raises(Unavailable) as starting:
        front.submit(request_spec("a"))
    async with running(front):
        front.drain()
        with pytest.raises(Unavailable) as draining:
            front.submit(request_spec("a"))
    assert (starting.value.reason, draining.value.reason) == ("STARTING", "DRAINING")


async def test_a_model_that_cannot_be_served_ends_the_front(tmp_path: Path) -> None:
    """With the core's own words."""
    front = make_front(tmp_path / "nothing")
    with pytest.raises(StartupRefused, match="no model directory"):
        await front.run(Ready())


async def ready_front(core: ScriptedCore, *, step_deadline_s: float) -> EngineFront:
    """A front over a core that does what the test says; not run yet."""
    keeper = CoreKeeper(
        lambda: core,
        CoreConfig(model_dir="", runner="fake"),
        environment={},
        startup_timeout_s=30.0,
        step_deadline_s=step_deadline_s,
        clock=time.monotonic,
    )
    core.become_ready()
    return EngineFront(keeper, max_num_waiting=4, clock=time.monotonic)


async def test_requests_of_a_core_that_is_gone_end_as_lost() -> None:
    """UNAVAILABLE: another engine may serve them."""
    core = ScriptedCore()
    front = await ready_front(core, step_deadline_s=60.0)
    async with running(front):
        outbox = front.submit(request_spec("a"))
        core.lose()
        with pytest.raises(Unavailable) as lost:
            await collect(outbox)
        with pytest.raises(Unavailable) as refused:
            front.submit(request_spec("b"))
    assert (lost.value.reason, refused.value.reason) == ("ENGINE_LOST", "STARTING")


async def test_requests_of_a_core_that_is_silent_end_as_stalled() -> None:
    """With a reason of their own; how long it has been silent is told meanwhile."""
    core = ScriptedCore()
    front = await ready_front(core, step_deadline_s=0.1)
    async with running(front):
        assert front.since_last_step_s == 0.0
        outbox = front.submit(request_spec("a"))
        with pytest.raises(Unavailable) as stalled:
            await collect(outbox)
    assert stalled.value.reason == "ENGINE_STALLED"
    assert core.ended == "killed"


async def test_slow_readers_do_not_hold_up_others(model_dir: Path) -> None:
    """A stream that nobody reads gathers its outputs; the other one ends."""
    front = make_front(model_dir)
    async with running(front):
        unread = front.submit(request_spec("slow", (5, 6), 60))
        assert len(await tokens_of(front, request_spec("fast", (7,), 60))) == 60
        assert len([t for o in await collect(unread) for t in o.token_ids]) == 60

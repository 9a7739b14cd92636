"""F-11: however and whenever a caller goes, everything of its request goes with it.

{cancel, connection dropped, process killed} x {queue, prefill, decode, last token}
x {stream, unary}
"""

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable

import pytest

from steeple.engine.v1 import engine_service_pb2, generate_pb2
from steeple_cli.load.history import End
from steeple_cli.load.loops import closed_loop
from steeple_client import AsyncClient, Client, TextDelta
from tests.support.cluster import Cluster, Stub, load_of
from tests.support.deployment import ROOT
from tests.support.engine_work import computes_below
from tests.support.fault_counts import count, is_full
from tests.support.traffic import assert_kept, callers, echo, echoes
from tests.support.waiting import eventually

SEATS = 8
LONG = 900
Leave = Callable[[AsyncClient, "asyncio.Task[None]"], Awaitable[None]]


async def _cancel(client: AsyncClient, call: "asyncio.Task[None]") -> None:
    call.cancel()


async def _drop_connection(client: AsyncClient, call: "asyncio.Task[None]") -> None:
    await client.close()


async def _call(client: AsyncClient, *, stream: bool, prompt: str, max_tokens: int = LONG) -> None:
    if not stream:
        await client.generate(prompt, max_tokens=max_tokens)
        return
    async for _ in client.generate_stream(prompt, max_tokens=max_tokens):
        pass


PROMPTS = {"queue": "short", "prefill": "long prompt " * 40, "decode": "short"}
BESIDE_LONG_PROMPT = 650
"""About as many tokens as the context has room for beside that one."""


@pytest.mark.parametrize("leave", [_cancel, _drop_connection])
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "unary"])
@pytest.mark.parametrize("when", ["queue", "prefill", "decode"])
async def test_a_caller_that_leaves_takes_everything_along(
    calm: Cluster, when: str, *, stream: bool, leave: Leave
) -> None:
    """In the queue, while the prompt is computed, and while tokens come."""
    max_tokens = BESIDE_LONG_PROMPT if when == "prefill" else LONG
    whole = LONG * SEATS if when == "queue" else max_tokens
    with calm.engine_stub() as stub, computes_below(stub, whole):
        async with AsyncClient(calm.target) as others, AsyncClient(calm.target) as client:
            seats = [
                asyncio.create_task(_call(others, stream=True, prompt="seat"))
                for _ in range(SEATS if when == "queue" else 0)
            ]
            busy = SEATS if when == "queue" else 0
            await asyncio.to_thread(eventually, lambda: load_of(stub).num_running == busy)
            before = load_of(stub).num_output_tokens
            call = asyncio.create_task(
                _call(client, stream=stream, prompt=PROMPTS[when], max_tokens=max_tokens)
            )

            def is_there() -> bool:
                load = load_of(stub)
                if when == "queue":
                    return load.num_waiting == 1
                has_begun = when == "prefill" or load.num_output_tokens > before
                return load.num_running == 1 and has_begun

            await asyncio.to_thread(eventually, is_there)
            await leave(client, call)
            await asyncio.gather(call, return_exceptions=True)
            if when == "queue":
                await asyncio.to_thread(eventually, lambda: load_of(stub).num_waiting == 0)
                assert load_of(stub).num_running == SEATS
            for seat in seats:
                seat.cancel()
            await asyncio.gather(*seats, return_exceptions=True)


async def test_leaving_at_the_last_token_is_an_end_or_a_cancel(calm: Cluster) -> None:
    """The race of both ends: whatever wins, nothing is left and nobody else notices."""
    requests = (
        echo(f"last{number}", max_tokens=6, leaves_after=2 + number % 9)
        for number in range(count(60, 1000))
    )
    async with callers(calm.target) as sending:
        histories = await closed_loop(sending.send, requests, num_callers=SEATS)
    assert_kept(histories)
    assert {history.end for history in histories} == {End.DONE, End.LEFT}
    await asyncio.to_thread(calm.wait_until_idle)


_CLIENT = """
import sys
from steeple_client import Client
client = Client(sys.argv[1])
streams = [client.generate_stream(f"killed {i}", max_tokens=900) for i in range(4)]
for stream in streams:
    next(stream)
print("streaming", flush=True)
for event in streams[0]:
    pass
"""


def test_a_killed_client_process_leaves_nothing(calm: Cluster) -> None:
    """Kill -9: no goodbye on the connection but the kernel's."""
    client = subprocess.Popen(
        [sys.executable, "-c", _CLIENT, calm.target],
        cwd=ROOT,
        env={"PYTHONPATH": f"{ROOT}:{ROOT / 'protos'}"},
        stdout=subprocess.PIPE,
    )
    try:
        assert client.stdout is not None
        with calm.engine_stub() as stub, computes_below(stub, 4 * 900):
            assert client.stdout.readline() == b"streaming\n"
            assert load_of(stub).num_running == 4
            client.send_signal(signal.SIGKILL)
            client.wait(30)
    finally:
        client.kill()
        client.wait(30)
        if client.stdout is not None:
            client.stdout.close()


def test_a_cancel_and_an_abort_of_the_same_request_may_cross(calm: Cluster) -> None:
    """Both ways to end a request at the engine, at once: idempotent, and the id is free again."""
    request = generate_pb2.GenerateRequest(
        request_id="crossing", model="demo", prompt_token_ids=[40, 41, 42]
    )
    request.sampling.temperature = 0
    request.stopping.max_tokens = LONG
    abort = engine_service_pb2.AbortRequest(request_ids=["crossing", "unknown"])
    with calm.engine_stub() as stub:
        for number in range(count(10, 200)):
            with computes_below(stub, LONG):
                call = stub.Generate(request, timeout=30)
                next(iter(call))
                ends: list[Callable[[], object]] = [
                    call.cancel,
                    lambda: stub.Abort(abort, timeout=10),
                ]
                for end in ends if number % 2 else ends[::-1]:
                    end()


async def test_neighbours_of_callers_that_leave_notice_nothing(calm: Cluster) -> None:
    """Half of the callers leave at random places; the others get whole answers."""
    leaving = (
        echo(f"gone{number}", max_tokens=60, leaves_after=1 + number % 5)
        for number in range(count(40, 1000))
    )
    async with callers(calm.target) as sending:
        gone, stayed = await asyncio.gather(
            closed_loop(sending.send, leaving, num_callers=6),
            closed_loop(sending.send, echoes(count(20, 500)), num_callers=4),
        )
    assert_kept([*gone, *stayed])
    assert {history.text[:40] != "" for history in stayed} == {True}
    assert {history.end for history in stayed} == {End.DONE}
    await asyncio.to_thread(calm.wait_until_idle)


def _is_free(stub: Stub) -> bool:
    return load_of(stub).num_used_blocks == 0


@pytest.mark.skipif(not is_full(), reason="a figure: run it with make faults")
def test_p4_a_cancel_frees_the_blocks_in_time(calm: Cluster) -> None:
    """P4: within two steps and 50 ms of the client's cancel, p99; here the step is 5 ms.

    Measured from the cancel to the first load report without used blocks, so the poll's own time
    is in it.
    """
    took: list[float] = []
    with calm.engine_stub() as stub, Client(calm.target) as client:
        for _ in range(1000):
            stream = client.generate_stream("measured", max_tokens=LONG)
            assert any(isinstance(event, TextDelta) for event in stream)
            start = time.monotonic()
            stream.close()
            while not _is_free(stub):
                assert time.monotonic() < start + 30
            took.append(time.monotonic() - start)
    took.sort()
    print(f"P4: p50 {took[500] * 1e3:.1f} ms, p99 {took[990] * 1e3:.1f} ms")  # noqa: T201 - the figure
    assert took[990] <= 2 * 0.005 + 0.050

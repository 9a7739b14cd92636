"""A stream of the blocking client: how it is read, and that leaving it ends the work."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator

import pytest

from steeple_client import (
    NO_RETRIES,
    Cancelled,
    Client,
    EngineFault,
    GenerationStream,
    Retries,
    ServiceError,
)
from tests.support.answers import generate_events, played
from tests.support.client_calls import FINISHED, STARTED, USAGE
from tests.support.endless import EndlessAnswers
from tests.support.leaving import WAYS, Leave
from tests.support.scripted import ScriptedInference
from tests.support.servers import Serving
from tests.support.waiting import LIMIT_S


@pytest.fixture
def client(served: Serving) -> Iterator[Client]:
    with Client(served.address, retries=NO_RETRIES) as client:
        yield client


@pytest.mark.parametrize("leave", WAYS)
async def test_leaving_a_stream_ends_its_work(
    endless: Serving, answers: EndlessAnswers, leave: Leave
) -> None:
    with Client(endless.address) as client:
        kept = await asyncio.to_thread(leave, client)
        await answers.idle()
    del kept


async def test_a_stream_is_under_way_before_it_is_read(
    endless: Serving, answers: EndlessAnswers
) -> None:
    """So that several started in turn compute side by side."""
    with Client(endless.address) as client:
        streams = [client.generate_stream("x") for _ in range(3)]
        await answers.begun(3)
        del streams
        await answers.idle()


async def test_who_reads_while_another_thread_cancels_meets_the_end(
    endless: Serving, answers: EndlessAnswers
) -> None:
    """No error, but no whole answer either."""
    with Client(endless.address) as client:
        stream = client.generate_stream("x")
        reading = asyncio.ensure_future(asyncio.to_thread(list, stream))
        await answers.begun()
        stream.cancel()
        assert len(await reading) <= 2
        with pytest.raises(Cancelled) as caught:
            stream.result()
        assert caught.value.reason == "STREAM_CANCELLED"
        await answers.idle()


async def test_who_reads_while_the_client_is_closed_is_told(
    endless: Serving, answers: EndlessAnswers
) -> None:
    client = Client(endless.address)
    calls = [
        asyncio.ensure_future(asyncio.to_thread(list, client.generate_stream("x"))),
        asyncio.ensure_future(asyncio.to_thread(client.generate, "x")),
    ]
    await answers.begun(2)
    await asyncio.to_thread(client.close)
    for call in calls:
        with pytest.raises(Cancelled) as caught:
            await call
        assert caught.value.reason == "CLIENT_CLOSED"
    await answers.idle()


def test_a_closed_client_says_so() -> None:
    client = Client("127.0.0.1:1")
    client.close()
    client.close()
    for call in (client.generate, client.generate_stream, client.tokenize, client.model):
        with pytest.raises(Cancelled, match="closed"):
            call("x")
    with pytest.raises(Cancelled, match="closed"):
        client.wait_until_ready(1.0)


async def test_a_cancel_ends_the_pause_before_the_next_attempt(
    served: Serving, script: ScriptedInference, asked: asyncio.Event
) -> None:
    with Client(served.address, retries=Retries(max_pause_s=100.0)) as client:
        stream = client.generate_stream("x")
        reading = asyncio.ensure_future(asyncio.to_thread(list, stream))
        await asked.wait()
        await asyncio.wait({reading}, timeout=0.05)
        stream.cancel()
        assert await asyncio.wait_for(reading, LIMIT_S) == []
    assert len(script.requests) == 1


async def test_the_texts_are_told_as_they_come(client: Client, script: ScriptedInference) -> None:
    script.generate_stream = played(generate_events("4", "", "2"))

    def read() -> tuple[list[str], str]:
        stream = client.generate_stream("x")
        texts = [stream.text + "+" + text for text in stream.texts()]
        return texts, stream.text

    assert await asyncio.to_thread(read) == (["4+4", "42+2"], "42")


async def test_the_result_is_the_whole_answer_however_much_was_read(
    client: Client, script: ScriptedInference
) -> None:
    script.generate_stream = played(generate_events("4", "2"))

    def read(stream: GenerationStream, count: int) -> object:
        for _ in range(count):
            next(stream)
        return stream.result()

    results = [
        await asyncio.to_thread(read, client.generate_stream("x"), count) for count in (0, 2, 5)
    ]
    whole = results[0]
    assert results == [whole] * 3
    assert (whole.text, whole.started, whole.finished) == ("42", STARTED, FINISHED)  # type: ignore[attr-defined] # a Generation
    assert whole.usage.num_prompt_tokens == USAGE.num_prompt_tokens  # type: ignore[attr-defined] # likewise


async def test_the_result_of_a_stream_that_failed_is_its_failure(
    client: Client, script: ScriptedInference
) -> None:
    script.generate_stream = played(generate_events("4")[:2], EngineFault("internal error 1"))

    def read() -> list[ServiceError]:
        stream = client.generate_stream("x")
        told: list[ServiceError] = []
        for _ in range(2):
            with pytest.raises(EngineFault) as caught:
                stream.result()
            told.append(caught.value)
        assert list(stream) == []
        return told

    first, second = await asyncio.to_thread(read)
    assert first is second


async def test_a_stream_without_an_end_is_no_answer(
    client: Client, script: ScriptedInference
) -> None:
    script.generate_stream = played(generate_events("4")[:-1])
    stream = client.generate_stream("x")
    with pytest.raises(EngineFault, match="before its answer"):
        await asyncio.to_thread(stream.result)


_INTERRUPTED = """
import os, signal, sys, threading, time
from steeple_client import Client
main = threading.get_ident()
def running():
    frame = sys._current_frames()[main]
    while frame is not None:
        yield frame.f_code.co_name
        frame = frame.f_back
def waits_for_the_reply():
    # grpc waits for a thread of its own, too, before it hands out the call that it has begun:
    # for that moment nobody can end it.
    names = list(running())
    return names[0] == "wait" and "_started" not in names
def interrupt_once_told_and_it_waits():
    sys.stdin.readline()
    while not waits_for_the_reply():
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGINT)
client = Client(sys.argv[1])
threading.Thread(target=interrupt_once_told_and_it_waits, daemon=True).start()
try:
    {call}
except KeyboardInterrupt as error:
    kept = error  # as an interactive shell keeps the last traceback
print("interrupted", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize(
    "call", ["client.generate('x')", "stream = client.generate_stream('x'); list(stream)"]
)
async def test_an_interrupt_in_the_terminal_ends_the_work(
    endless: Serving, answers: EndlessAnswers, call: str
) -> None:
    """The process lives on, as a notebook's does; nothing is computed for nobody."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-c", _INTERRUPTED.format(call=call), endless.address),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        await answers.begun()
        process.stdin.write(b"\n")
        assert await process.stdout.readline() == b"interrupted\n"
        await answers.idle()
    finally:
        await process.communicate(b"")
    assert process.returncode == 0


_FORGOTTEN = """
import sys
from steeple_client import Client
stream = Client(sys.argv[1]).generate_stream("x")
next(stream)
"""


async def test_a_script_may_end_with_a_stream_it_forgot(
    endless: Serving, answers: EndlessAnswers
) -> None:
    """Without a word on stderr."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _FORGOTTEN, endless.address), stderr=subprocess.PIPE
    )
    _, told = await process.communicate()
    assert (process.returncode, told) == (0, b"")
    await answers.idle()

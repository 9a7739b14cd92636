"""`steeple chat` with a person at a terminal."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from typing import Any

import pytest

from steeple_rpc.errors import Overloaded
from tests.support.answers import chat_events
from tests.support.command import ENVIRONMENT, STEEPLE
from tests.support.scripted import ScriptedInference
from tests.support.servers import serving
from tests.support.terminal import Terminal
from tests.support.waiting import LIMIT_S

REFUSED, ENDLESS = "refused", "endless"


class Gateway:
    """Answers a turn with its own text; refuses one, and never ends another."""

    def __init__(self) -> None:
        self.script = ScriptedInference(chat_stream=self._answer)
        self.left = asyncio.Event()

    def turns(self) -> list[list[str]]:
        """What each request said."""
        return [[m.parts[0].text for m in request.messages] for request in self.script.requests]

    async def _answer(self, request: Any) -> AsyncGenerator[Any, None]:
        asked = request.messages[-1].parts[0].text
        if asked == REFUSED:
            raise Overloaded("full", reason="QUEUE_FULL")
        events = chat_events(f"re: {asked}")
        if asked != ENDLESS:
            for event in events:
                yield event
            return
        try:
            for event in events[:2]:
                yield event
            await asyncio.Event().wait()
        finally:
            self.left.set()


@pytest.fixture
async def gateway() -> AsyncIterator[tuple[Gateway, str]]:
    gateway = Gateway()
    async with serving(gateway.script.add_to) as served:
        yield gateway, served.address


@pytest.fixture
def chat(gateway: tuple[Gateway, str]) -> Iterator[Terminal]:
    with Terminal([*STEEPLE, "chat", f"--target={gateway[1]}"], ENVIRONMENT) as terminal:
        yield terminal


async def say(chat: Terminal, keys: str, shown: str = "\r\n> ") -> str:
    """Type, and see what comes."""
    seen = len(await asyncio.to_thread(chat.until, "> "))
    chat.type(keys)
    await asyncio.to_thread(chat.until, shown)
    return chat.shown[seen:]


async def test_a_line_can_be_edited_and_called_back(
    gateway: tuple[Gateway, str], chat: Terminal
) -> None:
    """By the keys that every other program of a terminal knows."""
    await say(chat, "oe\x1b[Dn\n", "re: one\r\n> ")
    await say(chat, "\x1b[A!\n", "re: one!\r\n> ")
    assert gateway[0].turns()[-1] == ["one", "re: one", "one!"]


async def test_a_turn_that_fails_is_told_and_does_not_count(
    gateway: tuple[Gateway, str], chat: Terminal
) -> None:
    """What was said before is kept."""
    await say(chat, "one\n", "re: one\r\n> ")
    told = await say(chat, f"{REFUSED}\n", "full\r\n> ")
    assert "error: RESOURCE_EXHAUSTED QUEUE_FULL: full" in told
    await say(chat, "two\n", "re: two\r\n> ")
    assert gateway[0].turns()[-1] == ["one", "re: one", "two"]


async def test_ctrl_c_ends_an_answer_and_not_the_conversation(
    gateway: tuple[Gateway, str], chat: Terminal
) -> None:
    """What was read of it counts as said; the server stops computing."""
    await say(chat, f"{ENDLESS}\n", "re: endless")
    chat.ctrl_c()
    await asyncio.wait_for(gateway[0].left.wait(), LIMIT_S)
    await say(chat, "go on\n", "re: go on\r\n> ")
    assert gateway[0].turns()[-1] == [ENDLESS, "re: endless", "go on"]


@pytest.mark.parametrize(("is_ctrl_c", "status"), [(True, 130), (False, 0)])
async def test_both_ways_out_leave_the_cursor_at_the_start_of_a_line(
    chat: Terminal, *, is_ctrl_c: bool, status: int
) -> None:
    await asyncio.to_thread(chat.until, "> ")
    if is_ctrl_c:
        await asyncio.to_thread(chat.leave_prompt)
    else:
        chat.type("\x04")
    assert await asyncio.to_thread(chat.status) == status
    await asyncio.to_thread(chat.until, "\n")

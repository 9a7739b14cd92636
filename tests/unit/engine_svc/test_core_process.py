"""The front's end of the socket: what is no message means that the core is lost."""

import asyncio

import pytest

from engine_svc.core.messages import CoreConfig, Loading, encode
from engine_svc.core.pipe import HEADER
from engine_svc.core_link import CoreLost
from engine_svc.core_process import MAX_FRAME_BYTES, CoreProcess


def told(*frames: bytes) -> CoreProcess:
    """A core whose process has sent these bytes and is gone."""
    core = CoreProcess()
    core._reader = asyncio.StreamReader()
    for frame in frames:
        core._reader.feed_data(frame)
    core._reader.feed_eof()
    return core


def framed(data: bytes) -> bytes:
    """With its length in front."""
    return HEADER.pack(len(data)) + data


async def test_a_closed_socket_is_a_lost_core() -> None:
    """What was told before is heard."""
    events = told(framed(encode([Loading(stage="x", done=0, total=1)]))).events()
    assert await anext(events) == Loading(stage="x", done=0, total=1)
    with pytest.raises(CoreLost, match="gone"):
        await anext(events)


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x91\x81\xa4type\xa4Nope", b"\x05"])
async def test_garbage_is_a_lost_core(data: bytes) -> None:
    """Whatever is wrong with it."""
    with pytest.raises(CoreLost, match="no message"):
        await anext(told(framed(data)).events())


async def test_a_message_of_absurd_size_is_not_waited_for() -> None:
    """Nor is memory set aside for it."""
    core = told(HEADER.pack(MAX_FRAME_BYTES + 1))
    with pytest.raises(CoreLost, match="announced"):
        await anext(core.events())


async def test_a_core_that_cannot_be_started_is_lost() -> None:
    """As where no process, memory or file is left; here the environment is more than fits."""
    with pytest.raises(CoreLost, match="cannot be started"):
        await CoreProcess().start(
            CoreConfig(model_dir="", runner="fake"), {"TOO_LONG": "x" * (1 << 20)}
        )

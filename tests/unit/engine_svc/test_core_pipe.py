"""Messages over a real socket: whole frames, however the bytes are cut; the end is noticed."""

import os
import resource
import socket
from collections.abc import Iterator

import msgspec
import pytest

from engine_svc.core.messages import (
    AbortRequests,
    AddRequest,
    Command,
    Loading,
    decode_events,
    encode,
)
from engine_svc.core.params import RequestId
from engine_svc.core.pipe import HEADER, PeerGone, SocketPipe
from tests.support.requests import request_spec

COMMANDS: list[Command] = [
    AddRequest(spec=request_spec("a", 5, prior=(1, 2), eos=(0,))),
    AbortRequests(request_ids=(RequestId("a"), RequestId("b"))),
]


@pytest.fixture
def ends() -> Iterator[tuple[SocketPipe, socket.socket]]:
    core, front = socket.socketpair()
    with core, front:
        yield SocketPipe(core), front


def frame(data: bytes) -> bytes:
    """As the front sends it."""
    return HEADER.pack(len(data)) + data


def test_commands_arrive_as_they_were_sent(ends: tuple[SocketPipe, socket.socket]) -> None:
    """Two frames, in order, values equal."""
    pipe, front = ends
    front.sendall(frame(encode(COMMANDS[:1])) + frame(encode(COMMANDS[1:])))
    assert pipe.receive(wait=True) == COMMANDS


def test_a_frame_in_pieces_is_one_frame(ends: tuple[SocketPipe, socket.socket]) -> None:
    """Nothing until the last byte is there."""
    pipe, front = ends
    data = frame(encode(COMMANDS))
    front.sendall(data[:3])
    assert pipe.receive(wait=False) == []
    front.sendall(data[3:-1])
    assert pipe.receive(wait=False) == []
    front.sendall(data[-1:])
    assert pipe.receive(wait=True) == COMMANDS


def test_events_are_framed_alike(ends: tuple[SocketPipe, socket.socket]) -> None:
    """The front reads length and body."""
    pipe, front = ends
    pipe.send([Loading(stage="weights", done=1, total=2)])
    (length,) = HEADER.unpack(front.recv(HEADER.size))
    assert decode_events(front.recv(length)) == [Loading(stage="weights", done=1, total=2)]


def test_a_front_that_is_gone_is_noticed(ends: tuple[SocketPipe, socket.socket]) -> None:
    """When listening and when telling."""
    pipe, front = ends
    front.close()
    with pytest.raises(PeerGone):
        pipe.receive(wait=True)
    with pytest.raises(PeerGone):
        pipe.send([Loading(stage="weights", done=1, total=2)])


def test_a_front_that_ends_with_something_unread_is_gone(
    ends: tuple[SocketPipe, socket.socket],
) -> None:
    """The kernel then resets the connection, which is no fault of the core."""
    pipe, front = ends
    pipe.send([Loading(stage="weights", done=1, total=2)])
    front.close()
    with pytest.raises(PeerGone):
        pipe.receive(wait=True)


def test_a_socket_may_have_any_number() -> None:
    """The core inherits the number that its socket has in a front with many connections."""
    number = 1 << 11
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] <= number:
        pytest.skip("this process may not open so many files")
    core, front = socket.socketpair()
    with core, front:
        os.dup2(core.fileno(), number)
        with socket.socket(fileno=number) as high:
            assert SocketPipe(high).receive(wait=False) == []
            front.sendall(frame(encode(COMMANDS)))
            assert SocketPipe(high).receive(wait=True) == COMMANDS


def test_what_is_no_message_is_refused() -> None:
    """Never a guess."""
    with pytest.raises(msgspec.DecodeError):
        decode_events(b"\x93\x01\x02\x03")

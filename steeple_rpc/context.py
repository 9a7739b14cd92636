"""What a handler may know about its RPC beyond the message."""

import asyncio
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import grpc

from steeple_rpc.errors import ServiceError
from steeple_rpc.principal import ANONYMOUS, Principal

# Generic in its stubs only; the messages say nothing here.
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

REQUEST_ID_KEY = "x-request-id"
TAKEN_UP: tuple[tuple[str, str], ...] = (("x-taken-up", "1"),)
"""Initial metadata of a long stream whose handler runs; a call that is refused has none of it."""


@dataclass(slots=True, kw_only=True)
class RpcLine:
    """The one log line of an RPC: its handler adds what it knows, and it is written at the end.

    How the RPC ended, and when, is added then: only the border knows it.
    """

    event: str = "rpc_finished"
    facts: dict[str, str | int | float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RpcContext:
    """One RPC as its handler sees it."""

    request_id: str
    """The caller's x-request-id, else one made here: for logs, not an identity."""
    deadline_s: float | None
    """The time on the event loop's clock at which the caller stops waiting; None = never."""
    fail: Callable[[ServiceError], None] | None = None
    """Ends the RPC from outside of its handler; see `fail_rpc`."""
    principal: Principal = ANONYMOUS
    """Who calls; known from the moment that the authentication let the RPC pass."""
    line: RpcLine = field(default_factory=RpcLine)


_current: ContextVar[RpcContext] = ContextVar("steeple_rpc_context")


def current_rpc() -> RpcContext:
    """The RPC that the running task handles. Only within a handler."""
    return _current.get()


def rpc_line() -> RpcLine:
    """The log line of the RPC that the running task handles; outside of one, nobody's."""
    rpc = _current.get(None)
    return RpcLine() if rpc is None else rpc.line


def time_left_s() -> float | None:
    """What is left of the patience of the caller whose RPC the running task handles, in seconds.

    None = it waits for ever; 0 = its deadline is over.
    """
    deadline_s = current_rpc().deadline_s
    return None if deadline_s is None else max(0.0, deadline_s - asyncio.get_running_loop().time())


def enter_rpc(context: RpcContext) -> None:
    """Make `context` the current one of the running task. Only interceptors call this."""
    _current.set(context)


async def send_headers(context: Context) -> None:
    """Begin the answer of a stream that `fail_rpc` may end: right before its first message.

    The library sends the headers with the first message. If that one is stuck, a status would have
    to bring them, too, and is lost instead: its caller would wait for ever.
    """
    await context.send_initial_metadata(())


def fail_rpc() -> Callable[[ServiceError], None]:
    """What ends the RPC that the running task handles, even while the task waits in a write.

    The caller is told the error when it reads again; the task is cancelled. Outside of an RPC that
    is all that happens.
    """
    rpc = _current.get(None)
    if rpc is not None and rpc.fail is not None:
        return rpc.fail
    task = asyncio.current_task()

    def cancel(_: ServiceError) -> None:
        if task is not None:
            task.cancel()

    return cancel

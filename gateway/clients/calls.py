"""Calls to upstream services: deadlines on, failures as our own errors, nothing left running."""

from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from steeple_rpc import status
from steeple_rpc.context import REQUEST_ID_KEY, current_rpc
from steeple_rpc.errors import (
    Cancelled,
    DeadlineExpired,
    EngineFault,
    ServiceError,
    Unavailable,
)
from steeple_rpc.telemetry import logger
from steeple_rpc.tracing import current_trace

Reply = TypeVar("Reply")

# What a connection that is lost, and a server that stops, end a call with.
_LOST = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNKNOWN, grpc.StatusCode.CANCELLED}


def correlation() -> tuple[tuple[str, str], ...]:
    """Metadata that lets the upstream's log name the RPC handled here; empty outside of one."""
    try:
        request_id = current_rpc().request_id
    except LookupError:
        return ()
    # grpc refuses to send metadata that is not ASCII, and lets it come in.
    return ((REQUEST_ID_KEY, request_id),) if request_id.isascii() else ()


@contextmanager
def upstream_call(method: str) -> Iterator[tuple[tuple[str, str], ...]]:
    """The metadata for a call to `method`, which is made and read to its end in the block."""
    with current_trace().call(method) as carried:
        yield (*correlation(), *carried)


async def unary(call: Awaitable[Reply], *, lost: str, is_callers_deadline: bool = False) -> Reply:
    """The reply of a unary call.

    Args:
        call: made with a timeout.
        lost: the reason to tell when the service is gone.
        is_callers_deadline: the timeout is what the caller has left; else it is our own, and a
            service that lets it pass counts as lost.

    Raises:
        ServiceError: what the service answered, or Unavailable with `lost`.
    """
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        raise told(error, lost=lost, is_callers_deadline=is_callers_deadline) from error


def told(error: grpc.aio.AioRpcError, *, lost: str, is_callers_deadline: bool) -> ServiceError:
    """The upstream's error as ours; arguments as in `unary`.

    Only what the service itself told passes as it is. The words of grpc and of what lies between
    are not for callers: a lost connection and a stopped server are `lost`, and what is neither
    them nor a deadline is a fault of ours.
    """
    if _is_ours(error):
        known = status.from_call(error)
        return gone(lost) if isinstance(known, Cancelled) else known
    if error.code() in _LOST:
        return gone(lost)
    if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        expired = DeadlineExpired("the request took too long")
        return expired if is_callers_deadline else gone(lost)
    logger().error("upstream_refused", code=error.code().name, details=error.details())
    return EngineFault("a service behind the gateway could not be called; the log has the story")


def gone(lost: str) -> Unavailable:
    """The error of a service that is there no more, with its reason."""
    return Unavailable("a service behind the gateway was lost", reason=lost)


def _is_ours(error: grpc.aio.AioRpcError) -> bool:
    """Whether a service of ours made the error: it has an ErrorInfo of our domain then."""
    packed = dict(error.trailing_metadata() or ()).get(status.DETAILS_KEY, b"")
    info = error_details_pb2.ErrorInfo()
    try:
        details = status_pb2.Status.FromString(packed).details
        return any(detail.Unpack(info) and info.domain == status.DOMAIN for detail in details)
    except DecodeError:
        return False

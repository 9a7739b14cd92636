"""Calls to upstream services: deadlines on, failures as our own errors, nothing left running."""

from collections.abc import AsyncGenerator, Awaitable
from typing import Any, TypeVar

import grpc

from steeple_rpc import status
from steeple_rpc.errors import Cancelled, ServiceError, Unavailable

Reply = TypeVar("Reply")


async def unary(call: Awaitable[Reply], *, lost: str) -> Reply:
    """The reply of a unary call.

    Args:
        call: made with a timeout.
        lost: the reason to tell when the service is gone.

    Raises:
        ServiceError: what the service answered, or Unavailable with `lost`.
    """
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        raise told(error, lost=lost) from error


# The stream's message type is the caller's; grpc's call classes are generic in their stubs only.
async def stream(call: Any, *, lost: str) -> AsyncGenerator[Any, None]:
    """The messages of a server stream; leaving in any way cancels the call.

    A dropped call object would go on: grpcio does not cancel it.

    Raises:
        ServiceError: what the service answered, or Unavailable with `lost`.
    """
    try:
        async for message in call:
            yield message
    except grpc.aio.AioRpcError as error:
        raise told(error, lost=lost) from error
    finally:
        call.cancel()


def told(error: grpc.aio.AioRpcError, *, lost: str) -> ServiceError:
    """The upstream's error as ours; a lost connection and a stopped server are `lost`."""
    known = status.from_call(error)
    if isinstance(known, Cancelled) or known.reason in {"UNAVAILABLE", "UNKNOWN"}:
        return Unavailable("a service behind the gateway was lost", reason=lost)
    return known

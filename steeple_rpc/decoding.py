"""Decoding without surprises: what is no message of the contract ends INVALID_ARGUMENT.

grpcio would answer it with UNKNOWN and the parser's own words. Stands innermost, so that a stranger
learns nothing of his bytes: who calls is asked first.
"""

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from steeple_rpc.errors import InvalidRequest
from steeple_rpc.handlers import Handler, rebuilt


class _Malformed:
    """Stands for a message that could not be decoded, on its way to the handler."""


class DecodingInterceptor(grpc.aio.ServerInterceptor):
    """Keeps from a handler what could not be decoded."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Wrap the handler of one RPC; see grpc.aio.ServerInterceptor."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        return rebuilt(
            handler,
            unary=_checking,
            streaming=_checking,
            request_deserializer=_guarded(handler.request_deserializer),
        )


def _guarded(deserialize: Callable[[bytes], Any] | None) -> Callable[[bytes], Any]:
    def decode(data: bytes) -> Any:
        if deserialize is None:
            return data
        try:
            return deserialize(data)
        except (DecodeError, ValueError, RecursionError):
            return _Malformed()

    return decode


def _checking(handler: Handler) -> Handler:
    async def awaited(request: Any, context: Any) -> Any:
        return await handler(_checked(request), context)

    def iterated(request: Any, context: Any) -> Any:
        # The generator itself: a wrapper around it would cost every message of every stream.
        return handler(_checked(request), context)

    return awaited if inspect.iscoroutinefunction(handler) else iterated


def _checked(request: Any) -> Any:
    """The request, or the stream of requests, with malformed messages turned into the error."""
    if isinstance(request, _Malformed):
        raise InvalidRequest("malformed request message", reason="MALFORMED_MESSAGE")
    return _checked_stream(request) if hasattr(request, "__aiter__") else request


async def _checked_stream(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
    async for request in requests:
        yield _checked(request)

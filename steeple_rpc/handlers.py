"""Handlers taken apart and put together again, whatever their kind: for interceptors."""

from collections.abc import Callable
from typing import Any

import grpc

# grpc's handler and context types are generic over messages that an interceptor never knows.
Handler = Callable[[Any, Any], Any]


def rebuilt(
    handler: Any,
    *,
    unary: Callable[[Handler], Handler],
    streaming: Callable[[Handler], Handler],
    request_deserializer: Callable[[bytes], Any] | None,
) -> Any:
    """A method handler of the same kind around another behaviour.

    Args:
        handler: a grpc.RpcMethodHandler.
        unary: makes the behaviour of one that replies once.
        streaming: makes the behaviour of one that replies with a stream.
        request_deserializer: of the result; None = bytes.
    """
    make, behaviour = _taken_apart(handler)
    wrap = streaming if handler.response_streaming else unary
    return make(
        wrap(behaviour),
        request_deserializer=request_deserializer,
        response_serializer=handler.response_serializer,
    )


def _taken_apart(handler: Any) -> tuple[Callable[..., Any], Handler]:
    if handler.request_streaming and handler.response_streaming:
        return grpc.stream_stream_rpc_method_handler, handler.stream_stream
    if handler.response_streaming:
        return grpc.unary_stream_rpc_method_handler, handler.unary_stream
    if handler.request_streaming:
        return grpc.stream_unary_rpc_method_handler, handler.stream_unary
    return grpc.unary_unary_rpc_method_handler, handler.unary_unary

"""Lets an RPC pass only when it is known who calls. Health alone is open: balancers have no name.

Stands inside the border, which turns its refusals into statuses, and before every handler.
"""

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import grpc
import structlog

from steeple_rpc.auth.authenticators import Authenticator
from steeple_rpc.auth.failures import FailureLimit, peer_site
from steeple_rpc.context import Context, current_rpc, enter_rpc
from steeple_rpc.errors import Overloaded, Unauthenticated
from steeple_rpc.handlers import Handler, rebuilt
from steeple_rpc.telemetry import logger

OPEN_METHODS = ("/grpc.health.v1.Health/",)


class AuthInterceptor(grpc.aio.ServerInterceptor):
    """Puts the principal into the RPC's context, or ends the RPC.

    Args:
        authenticator: tells who calls.
        failures: of whom there are too many. It never stands in the way of a good proof: else
            one caller could shut out all others behind the same address.
    """

    def __init__(self, authenticator: Authenticator, failures: FailureLimit) -> None:
        self._authenticator = authenticator
        self._failures = failures

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Guard the handler of one RPC; see grpc.aio.ServerInterceptor."""
        handler = await continuation(handler_call_details)
        if handler is None or handler_call_details.method.startswith(OPEN_METHODS):
            return handler

        def enter(context: Context) -> None:
            self._enter(handler_call_details, context)

        return rebuilt(
            handler,
            unary=lambda behaviour: _unary(behaviour, enter),
            streaming=lambda behaviour: _streaming(behaviour, enter),
            request_deserializer=handler.request_deserializer,
        )

    def _enter(self, details: grpc.HandlerCallDetails, context: Context) -> None:
        """Make the principal known to the handler and the log.

        Raises:
            Unauthenticated: the caller did not prove who it is.
            Overloaded: it did not again and again.
        """
        try:
            principal = self._authenticator.principal(details.invocation_metadata or (), context)
        except Unauthenticated as error:
            self._count(error, details.method, peer_site(context.peer()))
            raise
        enter_rpc(replace(current_rpc(), principal=principal))
        structlog.contextvars.bind_contextvars(principal=principal.name)

    def _count(self, error: Unauthenticated, method: str, peer: str) -> None:
        wait_s = self._failures.wait_s(peer)
        if wait_s:
            raise Overloaded(
                "too many calls without a valid proof of identity",
                reason="TOO_MANY_AUTH_FAILURES",
                retry_after_s=wait_s,
            ) from error
        logger().warning("authentication_failed", method=method, peer=peer, reason=error.reason)


def _unary(behaviour: Handler, enter: Callable[[Context], None]) -> Handler:
    async def guarded(request: Any, context: Any) -> Any:
        enter(context)
        return await behaviour(request, context)

    return guarded


def _streaming(behaviour: Handler, enter: Callable[[Context], None]) -> Handler:
    # Some handlers (grpcio's own health service) write to the context instead of yielding.
    if inspect.iscoroutinefunction(behaviour):
        return _unary(behaviour, enter)

    def guarded(request: Any, context: Any) -> Any:
        enter(context)
        # The generator itself: a wrapper around it would cost every message of every stream.
        return behaviour(request, context)

    return guarded

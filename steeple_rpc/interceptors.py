"""The border of every server: what fails goes out scrubbed, and every RPC is seen.

grpcio answers a handler that raises with UNKNOWN and Python's own words. Here it becomes INTERNAL
without any words of ours.
"""

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any

import grpc
import structlog

from steeple_rpc import errors, status
from steeple_rpc.context import RpcContext, enter_rpc
from steeple_rpc.handlers import Handler, rebuilt
from steeple_rpc.live_calls import LiveCall, LiveCalls
from steeple_rpc.observing import UNKNOWN_METHOD, RpcObserver
from steeple_rpc.scrubbed import scrubbed
from steeple_rpc.seen_call import SeenCall

# A context tells the number of a code, or the code itself.
_CODES = {key: code for code in grpc.StatusCode for key in (code, code.value[0])}


class BorderInterceptor(grpc.aio.ServerInterceptor):
    """Scrubs errors, sets the RPC's context and logs one line per RPC.

    Args:
        observers: told of every RPC.
        calls: where every RPC is while its handler works.
    """

    def __init__(self, observers: Sequence[RpcObserver], calls: LiveCalls) -> None:
        self._observers = observers
        self._calls = calls

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Wrap the handler of one RPC; see grpc.aio.ServerInterceptor."""
        handler = await continuation(handler_call_details)
        if handler is None:
            for observer in self._observers:
                observer.begin(UNKNOWN_METHOD, ())(grpc.StatusCode.UNIMPLEMENTED, "")
            return None
        border = _Border(handler_call_details, self._observers, self._calls)
        return rebuilt(
            handler,
            unary=border.unary,
            streaming=border.streaming,
            request_deserializer=handler.request_deserializer,
        )


class _Border:
    """The border of one RPC."""

    def __init__(
        self,
        details: grpc.HandlerCallDetails,
        observers: Sequence[RpcObserver],
        calls: LiveCalls,
    ) -> None:
        self._observers = observers
        self._calls = calls
        self._call = LiveCall(None)
        self._seen: SeenCall
        self._method = details.method
        self._metadata = details.invocation_metadata or ()

    def unary(self, handler: Handler) -> Handler:
        async def guarded(request: Any, context: Any) -> Any:
            self._enter(context)
            try:
                reply = await handler(request, context)
            except BaseException as error:  # noqa: BLE001 - the border of the process
                await self._fail(error, context)
            else:
                self._end()
                return reply

        return guarded

    def streaming(self, handler: Handler) -> Handler:
        # Some handlers (grpcio's own health service) write to the context instead of yielding.
        if inspect.iscoroutinefunction(handler):
            return self.unary(handler)

        async def guarded(request: Any, context: Any) -> AsyncIterator[Any]:
            self._enter(context)
            try:
                # A generator left in the middle runs its own cleanup now, not when collected.
                async with aclosing(handler(request, context)) as replies:
                    async for reply in replies:
                        self._call.is_writing = True
                        yield reply
                        self._call.is_writing = False
            except BaseException as error:  # noqa: BLE001 - the border of the process
                await self._fail(error, context)
            else:
                self._end()

        return guarded

    def _enter(self, context: Any) -> None:
        self._seen = SeenCall(self._method, self._metadata, self._observers)
        remaining = context.time_remaining()
        now = asyncio.get_running_loop().time()
        enter_rpc(
            RpcContext(
                request_id=self._seen.request_id,
                deadline_s=None if remaining is None else now + remaining,
                fail=partial(self._fail_over_its_head, context),
                line=self._seen.line,
            )
        )
        structlog.contextvars.bind_contextvars(request_id=self._seen.request_id)
        self._call = self._calls.begin()

    async def _fail(self, error: BaseException, context: Any) -> None:
        """End the RPC with the status that `error` travels as; always raises."""
        ended_with = self._call.ended_with
        if ended_with is not None and self._call.is_writing:
            # Its status is with the library already; the handler only has to go.
            self._end(ended_with)
            raise error
        if isinstance(error, asyncio.CancelledError) and ended_with is not None:
            error = ended_with
        if isinstance(error, asyncio.CancelledError | GeneratorExit):
            self._end(code=grpc.StatusCode.CANCELLED)
            raise error
        if isinstance(error, grpc.aio.AbortError):
            self._end(code=_CODES[context.code()])
            raise error
        told = scrubbed(error, self._method)
        self._end(told)
        await _abort(context, told)

    def _fail_over_its_head(self, context: Any, error: errors.ServiceError) -> None:
        """End the RPC with `error` though its handler may wait in a write that never ends.

        The library keeps the status behind what the caller has not read yet.
        """
        self._call.ended_with = error
        if self._call.is_writing:
            aborting = asyncio.create_task(_abort(context, error))
            # It ends when the caller has read the status, or is gone; either way it raises.
            aborting.add_done_callback(lambda done: done.cancelled() or done.exception())
        if self._call.task is not None:
            self._call.task.cancel()

    def _end(
        self, error: errors.ServiceError | None = None, *, code: grpc.StatusCode | None = None
    ) -> None:
        self._calls.end(self._call)
        self._seen.end(error, code=code)


async def _abort(context: Any, error: errors.ServiceError) -> None:
    """End the RPC with the status that `error` travels as; always raises."""
    packed = ((status.DETAILS_KEY, status.to_proto(error).SerializeToString()),)
    await context.abort(status.code_of(error), error.message, packed)

"""How the asyncio client makes calls: one channel, attempts, typed failures."""

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any, TypeVar

import grpc

from steeple_client import calls
from steeple_client.calls import Call, Stubs
from steeple_client.errors import Cancelled, ServiceError, client_closed
from steeple_client.retries import Attempts
from steeple_client.terms import LB_POLICY, Terms
from steeple_rpc.channel import open_channel
from steeple_rpc.status import from_call

Reply = TypeVar("Reply")


class AsyncCaller:
    """Makes calls on the event loop on which the first one is made.

    Raises:
        TlsRefused: a file of the terms' TLS cannot be used.
    """

    def __init__(self, terms: Terms) -> None:
        if terms.tls is not None:
            # Opened later, refused now.
            terms.tls.credentials()
        self._terms = terms
        self._channel: grpc.aio.Channel | None = None
        self._stubs: Stubs | None = None
        self._is_closed = False

    async def close(self) -> None:
        """End all calls and the connection. Idempotent."""
        self._is_closed = True
        if self._channel is not None:
            await self._channel.close(None)

    def attempts(self, call: Call[object]) -> Attempts:
        """The attempts of a call that begins now."""
        return self._terms.attempts(call, _now_s())

    async def answer(self, call: Call[Reply]) -> Reply:
        """The reply of a unary call.

        Raises:
            ServiceError: it failed, as often as it could be made.
        """
        attempts = self.attempts(call)
        while True:
            try:
                return call.read(await self._reply(call, attempts))
            except ServiceError as error:
                await asyncio.sleep(self.pause_s(attempts, error))

    async def messages(self, call: Call[Reply]) -> AsyncIterator[Reply]:
        """What a streaming call tells; whoever closes the iterator cancels it.

        Raises:
            ServiceError: it failed.
        """
        running = self.start(call, self.attempts(call))
        try:
            async for message in running:
                yield call.read(message)
        except (grpc.aio.AioRpcError, asyncio.CancelledError) as error:
            raise self.failure(error) from None
        finally:
            running.cancel()

    async def becomes_ready(self, timeout_s: float) -> bool:
        """Whether health says so before the watch ends, which it does where the server goes away.

        Raises:
            ServiceError: nothing was heard.
        """
        call = calls.health_watch(timeout_s)
        watch = self.start(call, self.attempts(call))
        was_heard = False
        try:
            async for response in watch:
                was_heard = True
                if call.read(response):
                    return True
        except (grpc.aio.AioRpcError, asyncio.CancelledError) as error:
            failed = self.failure(error)
            if not was_heard or self._is_closed:
                raise failed from None
        finally:
            watch.cancel()
        return False

    # What the stubs' calls have in common is no type.
    def start(self, call: Call[object], attempts: Attempts) -> Any:
        """One attempt at a call: a reply to await or messages to read, and `cancel`."""
        if self._is_closed:
            raise client_closed()
        return call.method(self._opened())(
            call.request,
            timeout=attempts.left_s(_now_s()),
            metadata=self._terms.credentials.metadata(),
        )

    def pause_s(self, attempts: Attempts, error: ServiceError) -> float:
        """What to wait before the next attempt.

        Raises:
            ServiceError: `error`, if there is no next attempt.
        """
        drawn = random.random()  # noqa: S311 - spreads callers, hides nothing
        pause_s = attempts.pause_after(error, now_s=_now_s(), drawn=drawn)
        if pause_s is None:
            raise error
        return pause_s

    def failure(self, error: grpc.aio.AioRpcError | asyncio.CancelledError) -> ServiceError:
        """Why a call failed.

        Raises:
            CancelledError: the task that made the call is cancelled.
        """
        if isinstance(error, grpc.aio.AioRpcError):
            return from_call(error)
        # The library raises this also where nobody cancelled the task: for a call that ended
        # so, for whatever reason. Passed on, it would pass for a cancelled task.
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise error
        return client_closed() if self._is_closed else Cancelled("the call was cancelled")

    async def _reply(self, call: Call[object], attempts: Attempts) -> object:
        running = self.start(call, attempts)
        try:
            return await running
        except (grpc.aio.AioRpcError, asyncio.CancelledError) as error:
            raise self.failure(error) from None
        finally:
            running.cancel()

    def _opened(self) -> Stubs:
        """Opened by the first call: a client may be made before its event loop runs."""
        if self._stubs is None:
            self._channel = open_channel(self._terms.target, self._terms.tls, lb_policy=LB_POLICY)
            self._stubs = Stubs(self._channel)
        return self._stubs


def _now_s() -> float:
    return asyncio.get_running_loop().time()

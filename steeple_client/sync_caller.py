"""How the blocking client makes calls: one channel, attempts, typed failures."""

import random
import threading
import time
from collections.abc import Iterator
from typing import Any, TypeVar

import grpc

from steeple_client import calls
from steeple_client.calls import Call, Stubs
from steeple_client.errors import ServiceError, client_closed
from steeple_client.retries import Attempts
from steeple_client.terms import LB_POLICY, Terms
from steeple_rpc.channel import open_sync_channel
from steeple_rpc.status import from_call

Reply = TypeVar("Reply")


class SyncCaller:
    """Makes calls; safe to use from several threads.

    Raises:
        TlsRefused: a file of the terms' TLS cannot be used.
    """

    def __init__(self, terms: Terms) -> None:
        self._terms = terms
        self._channel = open_sync_channel(terms.target, terms.tls, lb_policy=LB_POLICY)
        self._stubs = Stubs(self._channel)
        self._closed = threading.Event()

    def close(self) -> None:
        """End all calls and the connection. Idempotent."""
        self._closed.set()
        self._channel.close()

    def attempts(self, call: Call[object]) -> Attempts:
        """The attempts of a call that begins now."""
        return self._terms.attempts(call, time.monotonic())

    def answer(self, call: Call[Reply]) -> Reply:
        """The reply of a unary call.

        Raises:
            ServiceError: it failed, as often as it could be made.
        """
        attempts = self.attempts(call)
        while True:
            try:
                return call.read(self._reply(call, attempts))
            except ServiceError as error:
                self.wait_for_next(attempts, error)

    def messages(self, call: Call[Reply]) -> Iterator[Reply]:
        """What a streaming call tells; whoever stops reading cancels it.

        Raises:
            ServiceError: it failed.
        """
        running = self.stream(call, self.attempts(call))
        try:
            for message in running:
                yield call.read(message)
        except grpc.RpcError as error:
            raise self.failure(error) from None
        finally:
            running.cancel()

    def becomes_ready(self, timeout_s: float) -> bool:
        """Whether health says so before the watch ends, which it does where the server goes away.

        Raises:
            ServiceError: nothing was heard.
        """
        call = calls.health_watch(timeout_s)
        watch = self.stream(call, self.attempts(call))
        was_heard = False
        try:
            for response in watch:
                was_heard = True
                if call.read(response):
                    return True
        except grpc.RpcError as error:
            if not was_heard or self._closed.is_set():
                raise self.failure(error) from None
        finally:
            watch.cancel()
        return False

    # What the stubs' streams have in common is no type.
    def stream(self, call: Call[object], attempts: Attempts) -> Any:
        """One attempt at a streaming call: messages to iterate over, and `cancel`."""
        return self._started(call.method(self._stubs), call, attempts)

    def wait_for_next(
        self, attempts: Attempts, error: ServiceError, left: threading.Event | None = None
    ) -> None:
        """Pause before the next attempt.

        Args:
            attempts: of the call that failed.
            error: how.
            left: set when the caller loses interest, which ends the pause.

        Raises:
            ServiceError: `error`, if there is no next attempt.
        """
        drawn = random.random()  # noqa: S311 - spreads callers, hides nothing
        pause_s = attempts.pause_after(error, now_s=time.monotonic(), drawn=drawn)
        if pause_s is None:
            raise error
        (left or self._closed).wait(pause_s)

    def _reply(self, call: Call[object], attempts: Attempts) -> object:
        # A future, because a blocking call that is interrupted in the terminal runs on.
        running = self._started(call.method(self._stubs).future, call, attempts)
        try:
            return running.result()
        except grpc.RpcError as error:
            raise self.failure(error) from None
        finally:
            running.cancel()

    def _started(self, method: Any, call: Call[object], attempts: Attempts) -> Any:
        try:
            return method(
                call.request,
                timeout=attempts.left_s(time.monotonic()),
                metadata=self._terms.credentials.metadata(),
            )
        except ValueError:
            # All that a closed channel says.
            if self._closed.is_set():
                raise client_closed() from None
            raise

    def failure(self, error: Any) -> ServiceError:
        """Why a call failed."""
        return client_closed() if self._closed.is_set() else from_call(error)

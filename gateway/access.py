"""Who may call this gateway, by its settings: with tokens the bearer's name counts."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import grpc

from steeple_rpc.auth.authenticators import BearerTokens
from steeple_rpc.auth.failures import FailureLimit
from steeple_rpc.auth.interceptor import AuthInterceptor
from steeple_rpc.auth.token_file import TokenFile


class Access:
    """The guards of the door, and what keeps them informed.

    Args:
        token_hashes: file of those who may come in; None = everybody, as the anonymous principal.
        clock: monotonic seconds.

    Raises:
        TokensRefused: the file cannot be read.
    """

    def __init__(self, token_hashes: Path | None, clock: Callable[[], float]) -> None:
        self._tokens = None if token_hashes is None else TokenFile(token_hashes)
        self._failures = FailureLimit(clock)

    def interceptors(self) -> Sequence[grpc.aio.ServerInterceptor]:
        """What stands before every handler."""
        tokens = self._tokens
        if tokens is None:
            return ()
        authenticator = BearerTokens(lambda: tokens.table, _now)
        return (AuthInterceptor(authenticator, self._failures),)

    async def follow(self) -> None:
        """Keep what the guards know true until cancelled."""
        if self._tokens is not None:
            await self._tokens.follow()
        await asyncio.Event().wait()


def _now() -> datetime:
    return datetime.now(UTC)

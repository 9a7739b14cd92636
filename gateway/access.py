"""Who may call this gateway: with tokens their bearers, else with mTLS the certified, else all."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import grpc

from gateway.settings import GatewaySettings
from steeple_rpc.auth.authenticators import Authenticator, BearerTokens, ClientCertificates
from steeple_rpc.auth.failures import FailureLimit
from steeple_rpc.auth.interceptor import AuthInterceptor
from steeple_rpc.auth.token_file import TokenFile


class Access:
    """The guards of the door, and what keeps them informed.

    Args:
        settings: with neither tokens nor an authority for clients, everybody may come in, and all
            are the one anonymous principal.
        clock: monotonic seconds.

    Raises:
        TokensRefused: the file cannot be read.
    """

    def __init__(self, settings: GatewaySettings, clock: Callable[[], float]) -> None:
        hashes = settings.token_hashes
        self._tokens = None if hashes is None else TokenFile(hashes)
        self._has_certificates = settings.tls_client_ca is not None
        self._failures = FailureLimit(clock)

    def interceptors(self) -> Sequence[grpc.aio.ServerInterceptor]:
        """What stands before every handler."""
        authenticator = self._authenticator()
        return () if authenticator is None else (AuthInterceptor(authenticator, self._failures),)

    def _authenticator(self) -> Authenticator | None:
        tokens = self._tokens
        if tokens is not None:
            return BearerTokens(lambda: tokens.table, _now)
        return ClientCertificates() if self._has_certificates else None

    async def follow(self) -> None:
        """Keep what the guards know true until cancelled."""
        if self._tokens is not None:
            await self._tokens.follow()
        await asyncio.Event().wait()


def _now() -> datetime:
    return datetime.now(UTC)

"""The two proofs of a name that we take: a bearer token, or the certificate of the connection."""

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from steeple_rpc.auth.token_table import TokenTable
from steeple_rpc.context import Context
from steeple_rpc.errors import Unauthenticated
from steeple_rpc.observing import Metadata
from steeple_rpc.principal import Principal, is_name

AUTHORIZATION_KEY = "authorization"
SCHEME = "bearer"
MAX_TOKEN_BYTES = 512
_CERTIFICATE_NAMES = ("x509_common_name", "x509_subject_alternative_name")


class Authenticator(Protocol):
    """Tells who calls."""

    def principal(self, metadata: Metadata, context: Context) -> Principal:
        """Who it is.

        Raises:
            Unauthenticated: that is not proved.
        """


class BearerTokens:
    """Takes `authorization: Bearer TOKEN`, looked at once, when the RPC begins.

    A stream that runs lives on when its token expires or is taken out of the table.

    Args:
        table: the table of the moment.
        now: the time of day, aware.
    """

    def __init__(self, table: Callable[[], TokenTable], now: Callable[[], datetime]) -> None:
        self._table = table
        self._now = now

    def principal(self, metadata: Metadata, context: Context) -> Principal:  # noqa: ARG002 - protocol
        """Whose token it is.

        Raises:
            Unauthenticated: TOKEN_MISSING, TOKEN_INVALID or TOKEN_EXPIRED. The last one is told
                only to who holds the token; why one is invalid is told to nobody.
        """
        record = self._table().find(_token(metadata))
        if record is None:
            raise _invalid()
        if record.is_expired(self._now()):
            raise Unauthenticated("the bearer token has expired", reason="TOKEN_EXPIRED")
        return record.principal


class ClientCertificates:
    """Takes the name in the client's certificate, which the TLS layer has verified."""

    def principal(self, metadata: Metadata, context: Context) -> Principal:  # noqa: ARG002 - protocol
        """The common name; without one, the first subject alternative name.

        Raises:
            Unauthenticated: CERTIFICATE_UNNAMED.
        """
        facts = context.auth_context()
        for key in _CERTIFICATE_NAMES:
            for value in facts.get(key, ()):
                name = value.decode(errors="replace")
                if is_name(name):
                    return Principal(name=name)
        raise Unauthenticated(
            "the client certificate has no usable name", reason="CERTIFICATE_UNNAMED"
        )


def _token(metadata: Metadata) -> str:
    """The one bearer token of a call, of a form that a token can have."""
    given = [value for key, value in metadata if key == AUTHORIZATION_KEY]
    if not given:
        raise Unauthenticated(
            "this needs the metadata authorization: Bearer TOKEN", reason="TOKEN_MISSING"
        )
    value = given[0]
    if len(given) > 1 or isinstance(value, bytes) or not value.isascii():
        raise _invalid()
    scheme, _, token = value.partition(" ")
    if scheme.lower() != SCHEME or not 0 < len(token) <= MAX_TOKEN_BYTES:
        raise _invalid()
    return token


def _invalid() -> Unauthenticated:
    return Unauthenticated("the bearer token is not valid", reason="TOKEN_INVALID")

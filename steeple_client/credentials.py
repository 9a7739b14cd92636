"""What a call carries to say who calls."""

from steeple_rpc.address import is_local
from steeple_rpc.errors import InvalidRequest

CallMetadata = tuple[tuple[str, str], ...]


def call_metadata(token: str | None, *, target: str, has_tls: bool) -> CallMetadata:
    """The metadata of every call with a bearer token; nothing without one.

    Raises:
        InvalidRequest: the token would leave this machine in plaintext, or has characters that
            no token has.
    """
    if token is None:
        return ()
    if not has_tls and not is_local(target):
        raise InvalidRequest(
            "a token goes to another machine by TLS only: give tls too", reason="TOKEN_NEEDS_TLS"
        )
    if not (token.isascii() and token.isprintable()) or " " in token or not token:
        raise InvalidRequest(
            "a token is one word of printable ASCII characters", reason="TOKEN_INVALID"
        )
    return (("authorization", f"Bearer {token}"),)

"""What a call carries to say who calls."""

from pathlib import Path

from steeple_rpc.address import is_local
from steeple_rpc.errors import InvalidRequest, ServiceError
from steeple_rpc.files import read_text, stamp_of
from steeple_rpc.refused import SettingRefused

MAX_TOKEN_FILE_BYTES = 4096
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


class Credentials:
    """The caller's token of the moment.

    Args:
        token: itself; or the file that holds it, which is looked at before each call.
        target: where calls go.
        has_tls: whether by TLS.

    Raises:
        InvalidRequest: as `call_metadata`.
        SettingRefused: the file cannot be read; names it.
    """

    def __init__(self, token: str | Path | None, *, target: str, has_tls: bool) -> None:
        self._target = target
        self._has_tls = has_tls
        self._path = token if isinstance(token, Path) else None
        self._stamp = None if self._path is None else stamp_of(self._path)
        self._metadata = self._made(_read(token) if isinstance(token, Path) else token)

    def metadata(self) -> CallMetadata:
        """What the next call carries. A new file that is broken or gone changes nothing."""
        if self._path is not None and (stamp := stamp_of(self._path)) != self._stamp:
            # Taken before the reading: what is written meanwhile shows the next time.
            self._stamp = stamp
            try:
                self._metadata = self._made(_read(self._path))
            except ServiceError:
                return self._metadata
        return self._metadata

    def _made(self, token: str | None) -> CallMetadata:
        return call_metadata(token, target=self._target, has_tls=self._has_tls)


def _read(path: Path) -> str:
    try:
        return read_text(path, MAX_TOKEN_FILE_BYTES).strip()
    except SettingRefused as error:
        raise SettingRefused(f"token file {path}: {error}") from error

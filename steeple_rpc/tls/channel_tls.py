"""A client's side of TLS."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import grpc

from steeple_rpc.refused import TlsRefused


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelTls:
    """How a channel makes sure of its server, and what it shows of itself.

    Raises:
        TlsRefused: a certificate without its key, or the other way round.
    """

    ca: Path | None = None
    """Vouches for the server; None = the authorities that come with grpcio."""
    cert: Path | None = None
    """Shown to servers that ask for it, with its key."""
    key: Path | None = None
    server_name: str | None = None
    """What the server's certificate must be for; None = the host that is called."""

    def __post_init__(self) -> None:
        if (self.cert is None) != (self.key is None):
            raise TlsRefused("a client certificate and its key are given together or not at all")

    def credentials(self) -> grpc.ChannelCredentials:
        """The files as they are now.

        Raises:
            TlsRefused: one of them cannot be used.
        """
        # Late: what checks certificates is a quarter of a client's import, in vain in plaintext.
        from steeple_rpc.tls.pem_files import read_authorities, read_identity  # noqa: PLC0415 - above

        roots = None if self.ca is None else read_authorities(Path(self.ca))
        if self.cert is None or self.key is None:
            return grpc.ssl_channel_credentials(roots)
        shown = read_identity(Path(self.cert), Path(self.key), datetime.now(UTC))
        return grpc.ssl_channel_credentials(roots, shown.key, shown.cert_chain)

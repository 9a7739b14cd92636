"""A server's side of TLS. Files that change count from the next connection on, without restart."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import grpc

from steeple_rpc.files import Stamp, stamp_of
from steeple_rpc.refused import TlsRefused
from steeple_rpc.telemetry import logger
from steeple_rpc.tls.pem_files import read_authorities, read_identity


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerTlsFiles:
    """What a server is told about TLS."""

    cert: Path
    key: Path
    client_ca: Path | None = None
    """Vouches for clients; with it, a client without a good certificate cannot connect."""

    def stamps(self) -> tuple[Stamp, ...]:
        """What differs when one of the files does."""
        given = (self.cert, self.key, self.client_ca)
        return tuple(stamp_of(path) for path in given if path is not None)


def server_credentials(files: ServerTlsFiles) -> grpc.ServerCredentials:
    """Credentials that follow their files.

    Raises:
        TlsRefused: a file cannot be used now.
    """
    followed = FollowedFiles(files, lambda: datetime.now(UTC))
    return grpc.dynamic_ssl_server_credentials(
        followed.configuration,
        followed.changed,  # type: ignore[arg-type] # None = nothing new; the stubs forgot it
        require_client_authentication=files.client_ca is not None,
    )


class FollowedFiles:
    """Reads the files again when one of them is another one; what is broken changes nothing.

    Args:
        files: read at once.
        now: the time of day, aware.

    Raises:
        TlsRefused: a file cannot be used now.
    """

    def __init__(self, files: ServerTlsFiles, now: Callable[[], datetime]) -> None:
        self._files = files
        self._now = now
        self._lock = threading.Lock()
        self._stamps = files.stamps()
        self.configuration = self._read()

    def changed(self) -> grpc.ServerCertificateConfiguration | None:
        """The files' new content, None if nothing is new; the library asks at each handshake.

        It does so on threads of its own, where an error would be lost: none is raised.
        """
        with self._lock:
            stamps = self._files.stamps()
            if stamps == self._stamps:
                return None
            # Taken before the reading: what is written meanwhile shows the next time.
            self._stamps = stamps
            try:
                read = self._read()
            except TlsRefused as error:
                # Also between the writing of a certificate and of its key: the next look heals it.
                logger().error("certificates_kept", detail=str(error))
                return None
            logger().info("certificates_read")
            return read

    def _read(self) -> grpc.ServerCertificateConfiguration:
        identity = read_identity(self._files.cert, self._files.key, self._now())
        ca = self._files.client_ca
        return grpc.ssl_server_certificate_configuration(
            [(identity.key, identity.cert_chain)],
            root_certificates=None if ca is None else read_authorities(ca),
        )

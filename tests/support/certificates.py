"""Certificates for tests: an authority, and what it issues, as files."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import trustme

from steeple_rpc.tls.channel_tls import ChannelTls

LOCAL_NAMES = ("localhost", "127.0.0.1")
DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A certificate and its key."""

    cert: Path
    key: Path


class Authority:
    """A private authority whose files are in a folder of the test's.

    Args:
        folder: made if it is not there.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self._folder = folder
        self._ca = trustme.CA()
        self.ca = folder / "ca.pem"
        self._ca.cert_pem.write_to_path(self.ca)

    def issue(self, file: str, *names: str, **given: Any) -> Issued:
        """A certificate for these names (this machine's without any); `given` goes to trustme."""
        made = self._ca.issue_cert(*(names or LOCAL_NAMES), **given)
        issued = Issued(cert=self._folder / f"{file}.pem", key=self._folder / f"{file}.key")
        made.private_key_pem.write_to_path(issued.key)
        chain = b"".join(part.bytes() for part in made.cert_chain_pems)
        issued.cert.write_bytes(chain)
        return issued

    def server(self, file: str = "server", *, mtls: bool = False, **given: Any) -> dict[str, Any]:
        """Settings of a server that proves itself with a fresh certificate."""
        issued = self.issue(file, **given)
        settings = {"tls_cert": issued.cert, "tls_key": issued.key}
        return {**settings, "tls_client_ca": self.ca} if mtls else settings

    def client(self, common_name: str | None = None, **given: Any) -> ChannelTls:
        """A client that trusts this authority; with a certificate of this name if one is given."""
        if common_name is None:
            return ChannelTls(ca=self.ca)
        issued = self.issue(
            common_name, f"{common_name}@test.invalid", **given, common_name=common_name
        )
        return ChannelTls(ca=self.ca, cert=issued.cert, key=issued.key)


def expired() -> dict[str, datetime]:
    """What makes a certificate one of the past; for `issue`."""
    now = datetime.now(UTC)
    return {"not_before": now - 2 * DAY, "not_after": now - DAY}


def not_yet_valid() -> dict[str, datetime]:
    """What makes a certificate one of the future; for `issue`."""
    now = datetime.now(UTC)
    return {"not_before": now + DAY, "not_after": now + 2 * DAY}

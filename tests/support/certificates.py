"""Certificates for tests: an authority, and what it issues, as files."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any, TypeAlias

import trustme
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from steeple_rpc.tls.channel_tls import ChannelTls

LOCAL_NAMES = ("localhost", "127.0.0.1")
DAY = timedelta(days=1)

PrivateKey: TypeAlias = (
    rsa.RSAPrivateKey
    | ec.EllipticCurvePrivateKey
    | dsa.DSAPrivateKey
    | ed25519.Ed25519PrivateKey
    | ed448.Ed448PrivateKey
)


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


def self_signed(folder: Path, key: PrivateKey) -> Issued:
    """A certificate of this machine's for a key of any kind, valid today."""
    now = datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    names = [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
    is_edwards = isinstance(key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - DAY)
        .not_valid_after(now + DAY)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, None if is_edwards else SHA256())
    )
    issued = Issued(cert=folder / "self.pem", key=folder / "self.key")
    issued.cert.write_bytes(certificate.public_bytes(Encoding.PEM))
    issued.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return issued

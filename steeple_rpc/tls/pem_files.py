"""Certificates and keys in PEM files, checked before anybody relies on them."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    SECP384R1,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from steeple_rpc.files import read_text
from steeple_rpc.refused import SettingRefused, TlsRefused

MAX_FILE_BYTES = 1 << 20
MIN_RSA_BITS = 2048
# With another one the port opens, and every handshake fails.
_CURVES = (SECP256R1, SECP384R1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What one side proves its name with."""

    cert_chain: bytes
    """PEM, its own certificate first."""
    key: bytes
    """PEM, not encrypted; never shown."""

    def __repr__(self) -> str:
        return "Identity(…)"


def read_identity(cert: Path, key: Path, now: datetime) -> Identity:
    """A certificate chain with its private key.

    Args:
        cert: PEM file, its own certificate first.
        key: PEM file, not encrypted.
        now: aware.

    Raises:
        TlsRefused: a file is missing, unreadable or not of its form, the certificate is not valid
            now, its key is of a kind that no handshake takes, or the key belongs to another one.
    """
    cert_text = _read(cert)
    leaf = _certificates(cert, cert_text)[0]
    _check_time(cert, leaf, now)
    certified = _certified_key(cert, leaf)
    key_text = _read(key)
    if _public_key(key, key_text) != certified:
        raise TlsRefused(f"key {key}: it does not belong to the certificate {cert}")
    return Identity(cert_chain=cert_text.encode(), key=key_text.encode())


def read_authorities(ca: Path) -> bytes:
    """The certificates, as PEM, that vouch for the other side.

    Raises:
        TlsRefused: the file is missing, unreadable or not of its form.
    """
    text = _read(ca)
    _certificates(ca, text)
    return text.encode()


def _read(path: Path) -> str:
    try:
        return read_text(path, MAX_FILE_BYTES)
    except SettingRefused as error:
        raise TlsRefused(f"{path}: {error}") from error


def _certificates(path: Path, text: str) -> Sequence[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(text.encode())
    except ValueError:
        # The library's words would quote the file.
        raise TlsRefused(f"{path}: it holds no certificate in PEM") from None


def _check_time(path: Path, certificate: x509.Certificate, now: datetime) -> None:
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now < begin:
        raise TlsRefused(f"certificate {path}: it is not valid before {begin:%Y-%m-%d %H:%M} UTC")
    if now > end:
        raise TlsRefused(f"certificate {path}: it expired {end:%Y-%m-%d %H:%M} UTC")


def _certified_key(path: Path, certificate: x509.Certificate) -> PublicKeyTypes:
    with suppress(ValueError, UnsupportedAlgorithm):
        key = certificate.public_key()
        if isinstance(key, RSAPublicKey) and key.key_size >= MIN_RSA_BITS:
            return key
        if isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, _CURVES):
            return key
    raise TlsRefused(
        f"certificate {path}: its key must be RSA of {MIN_RSA_BITS} bits or more, or EC on P-256"
        " or P-384"
    )


def _public_key(path: Path, text: str) -> PublicKeyTypes:
    try:
        return load_pem_private_key(text.encode(), password=None).public_key()
    except TypeError:
        raise TlsRefused(f"key {path}: it is encrypted; store it without a password") from None
    except (ValueError, UnsupportedAlgorithm):
        raise TlsRefused(f"key {path}: it holds no private key in PEM") from None

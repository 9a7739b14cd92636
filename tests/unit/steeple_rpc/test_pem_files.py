"""What a start with wrong certificate files is told: one clear line that names the file."""

import base64
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa

from steeple_rpc.refused import TlsRefused
from steeple_rpc.tls.channel_tls import ChannelTls
from steeple_rpc.tls.pem_files import read_authorities, read_identity
from tests.support.certificates import (
    Authority,
    Issued,
    PrivateKey,
    expired,
    not_yet_valid,
    self_signed,
)

PEM_MARK = "-----"
GOOD_KEYS: Mapping[str, Callable[[], PrivateKey]] = {
    "RSA": lambda: rsa.generate_private_key(65_537, 2048),
    "P-256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
}
USELESS_KEYS: Mapping[str, Callable[[], PrivateKey]] = {
    "RSA, short": lambda: rsa.generate_private_key(65_537, 1024),  # noqa: S505 - refused
    "P-521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "secp256k1": lambda: ec.generate_private_key(ec.SECP256K1()),
    "DSA": lambda: dsa.generate_private_key(2048),
    "Ed25519": ed25519.Ed25519PrivateKey.generate,
    "Ed448": ed448.Ed448PrivateKey.generate,
}


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ca")


@pytest.fixture
def issued(authority: Authority) -> Issued:
    return authority.issue("server")


def refusal(cert: Path, key: Path) -> str:
    """One line, without a word of the files' content."""
    with pytest.raises(TlsRefused) as caught:
        read_identity(cert, key, datetime.now(UTC))
    told = str(caught.value)
    assert "\n" not in told
    assert PEM_MARK not in told
    return told


def test_a_good_pair_is_taken_as_it_is_and_never_shown(issued: Issued) -> None:
    identity = read_identity(issued.cert, issued.key, datetime.now(UTC))
    assert identity.key == issued.key.read_bytes()
    assert PEM_MARK not in f"{identity} {identity!r}"


def test_a_missing_file_is_named(issued: Issued, tmp_path: Path) -> None:
    missing = tmp_path / "nowhere.pem"
    assert refusal(missing, issued.key) == f"{missing}: No such file or directory"
    assert refusal(issued.cert, missing) == f"{missing}: No such file or directory"
    assert "Is a directory" in refusal(issued.cert, tmp_path)
    with pytest.raises(TlsRefused, match="No such file"):
        read_authorities(missing)


def test_a_file_of_another_kind_is_named(issued: Issued, tmp_path: Path) -> None:
    """A key for a certificate, a certificate for a key, text, bytes, too much."""
    other = tmp_path / "other"
    assert "no certificate in PEM" in refusal(issued.key, issued.key)
    assert "no private key in PEM" in refusal(issued.cert, issued.cert)
    for data in (
        b"hello",
        b"\xff\xfe",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----",
    ):
        other.write_bytes(data)
        assert str(other) in refusal(other, issued.key)
        assert str(other) in refusal(issued.cert, other)
        with pytest.raises(TlsRefused, match=str(other)):
            read_authorities(other)
    other.write_bytes(b"x" * ((1 << 20) + 1))
    assert "more than 1048576 bytes" in refusal(other, issued.key)


def test_a_key_of_another_certificate_is_refused(authority: Authority, issued: Issued) -> None:
    assert "does not belong" in refusal(issued.cert, authority.issue("second").key)


def test_an_encrypted_key_is_refused_with_the_remedy(issued: Issued) -> None:
    key = serialization.load_pem_private_key(issued.key.read_bytes(), password=None)
    issued.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"word"),
        )
    )
    assert "store it without a password" in refusal(issued.cert, issued.key)


def test_a_certificate_that_is_not_valid_now_is_refused(authority: Authority) -> None:
    old, new = authority.issue("old", **expired()), authority.issue("new", **not_yet_valid())
    assert "it expired 2" in refusal(old.cert, old.key)
    assert "it is not valid before 2" in refusal(new.cert, new.key)


def test_a_client_certificate_without_its_key_is_refused(issued: Issued) -> None:
    with pytest.raises(TlsRefused, match="together"):
        ChannelTls(cert=issued.cert)


@pytest.mark.parametrize("kind", GOOD_KEYS)
def test_a_key_that_handshakes_take_is_taken(kind: str, tmp_path: Path) -> None:
    issued = self_signed(tmp_path, GOOD_KEYS[kind]())
    assert read_identity(issued.cert, issued.key, datetime.now(UTC)).key


@pytest.mark.parametrize("kind", USELESS_KEYS)
def test_a_key_that_no_handshake_takes_is_refused_before_the_port_opens(
    kind: str, tmp_path: Path
) -> None:
    """It would serve, and nobody could connect: tests/contract/test_grpc_tls.py."""
    issued = self_signed(tmp_path, USELESS_KEYS[kind]())
    assert "P-256 or P-384" in refusal(issued.cert, issued.key)


def test_a_key_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    """A kind of the far future in a certificate of today's form."""
    issued = self_signed(tmp_path, ec.generate_private_key(ec.SECP256R1()))
    der = x509.load_pem_x509_certificate(issued.cert.read_bytes()).public_bytes(
        serialization.Encoding.DER
    )
    kind = bytes.fromhex("06072a8648ce3d0201")
    assert der.count(kind) == 1
    changed = base64.encodebytes(der.replace(kind, kind[:-1] + b"\x7f")).decode()
    issued.cert.write_text(
        f"{PEM_MARK}BEGIN CERTIFICATE{PEM_MARK}\n{changed}{PEM_MARK}END CERTIFICATE{PEM_MARK}\n"
    )
    assert "P-256 or P-384" in refusal(issued.cert, issued.key)

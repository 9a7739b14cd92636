"""What a start with wrong certificate files is told: one clear line that names the file."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from steeple_rpc.tls.channel_tls import ChannelTls
from steeple_rpc.tls.pem_files import TlsRefused, read_authorities, read_identity
from tests.support.certificates import Authority, Issued, expired, not_yet_valid

PEM_MARK = "-----"


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

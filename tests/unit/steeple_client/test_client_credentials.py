"""What a client sends to say who it is, and where it does not."""

from pathlib import Path

import pytest

from steeple_client import AsyncClient, ChannelTls, Client, SettingRefused
from steeple_client.credentials import Credentials, call_metadata
from steeple_rpc.errors import InvalidRequest


@pytest.mark.parametrize("target", ["127.0.0.1:1", "[::1]:1", "localhost:1", "unix:/run/steeple"])
def test_on_this_machine_a_token_goes_in_plaintext(target: str) -> None:
    sent = call_metadata("t", target=target, has_tls=False)
    assert sent == (("authorization", "Bearer t"),)


def test_to_another_machine_it_goes_by_tls_only() -> None:
    """Names that only seem local are other machines."""
    assert call_metadata("t", target="10.0.0.1:1", has_tls=True)
    for target in ("10.0.0.1:1", "gateway:1", "localhost.example:1", "dns:///localhost:1"):
        with pytest.raises(InvalidRequest) as caught:
            call_metadata("t", target=target, has_tls=False)
        assert caught.value.reason == "TOKEN_NEEDS_TLS"


@pytest.mark.parametrize("token", ["", "a b", "a\nb", "é", "a\x00"])
def test_a_token_that_no_metadata_can_hold_is_refused_and_not_repeated(token: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        call_metadata(token, target="127.0.0.1:1", has_tls=False)
    assert caught.value.reason == "TOKEN_INVALID"
    assert not token or token not in caught.value.message


def test_both_clients_refuse_before_they_connect() -> None:
    for kind in (Client, AsyncClient):
        with pytest.raises(InvalidRequest):
            kind("192.0.2.1:1", token="t")  # noqa: S106 - the test's own


async def test_system_authorities_are_the_default() -> None:
    """Nothing has to be given to call a server with a public certificate."""
    async with AsyncClient("192.0.2.1:1", tls=ChannelTls(), token="t"):  # noqa: S106 - likewise
        pass


def sent(credentials: Credentials) -> str:
    ((_, value),) = credentials.metadata()
    return value.removeprefix("Bearer ")


def test_a_token_in_a_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    """As an orchestrator renews it; an unusable one changes nothing, a later good one does."""
    file = tmp_path / "token"
    file.write_text("first\n")
    credentials = Credentials(file, target="127.0.0.1:1", has_tls=False)
    assert sent(credentials) == "first"
    file.write_text("the second\n")
    assert sent(credentials) == "first"
    file.unlink()
    assert sent(credentials) == "first"
    file.write_text("third")
    assert sent(credentials) == "third"


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_files_that_cannot_be_used_are_refused_by_name_at_once(
    kind: type[Client] | type[AsyncClient], tmp_path: Path
) -> None:
    missing = tmp_path / "missing"
    with pytest.raises(SettingRefused, match=f"token file {missing}: No such file"):
        kind(token=missing)
    with pytest.raises(SettingRefused, match=f"{missing}: No such file"):
        kind(tls=ChannelTls(ca=missing))

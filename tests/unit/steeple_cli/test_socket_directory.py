"""The place of the sockets between the services."""

import tempfile
from pathlib import Path

import pytest

from steeple_cli.serving.socket_directory import socket_directory
from steeple_rpc.refused import SettingRefused


def test_it_is_gone_afterwards() -> None:
    with socket_directory() as directory:
        assert directory.is_dir()
    assert not directory.exists()


@pytest.mark.parametrize("place", ["/dev/null", "/no/such/place"])
def test_where_none_can_be_made_the_remedy_is_told(
    monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", place)
    with (
        pytest.raises(SettingRefused, match=f"made in {place}: .*or set TMPDIR$"),
        socket_directory(),
    ):
        pass


def test_a_path_too_long_for_a_socket_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    long = tmp_path / ("d" * 90)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    with (
        pytest.raises(SettingRefused, match="107 bytes: set TMPDIR to a shorter one"),
        socket_directory(),
    ):
        pass
    assert list(long.iterdir()) == []

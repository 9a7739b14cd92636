"""Why nobody can listen there."""

import errno
import socket
from pathlib import Path

import pytest

from steeple_rpc.bind_problem import bind_problem, problem_of


def test_a_port_that_is_taken_is_told_so() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        told = bind_problem(f"127.0.0.1:{taken.getsockname()[1]}")
    assert told == "another process listens there: end it, or choose another port"


@pytest.mark.parametrize(
    ("listen", "told"),
    [
        ("host.invalid:50051", "there is no host of that name"),
        ("192.0.2.1:50051", "this machine does not have that address: take one of its own"),
        ("unix:/no/such/dir/s", "there is no directory /no/such/dir: make it"),
        (f"unix:/tmp/{'s' * 120}", "the path has 125 bytes; a socket's may have 107"),
    ],
)
def test_what_hinders_is_told_with_the_remedy(listen: str, told: str) -> None:
    assert bind_problem(listen) == told


def test_a_privileged_port_is_told_so() -> None:
    """As the kernel says it: root may have it."""
    told = problem_of(PermissionError(errno.EACCES, "Permission denied"))
    assert told == "ports below 1024 need a privilege: choose one from 1024 on"


def test_a_file_in_the_place_of_a_socket_is_told_so(tmp_path: Path) -> None:
    (tmp_path / "s").touch()
    told = bind_problem(f"unix:{tmp_path}/s")
    assert told == "there is a file that is no socket: remove it"


def test_what_nobody_foresaw_is_told_in_the_systems_words() -> None:
    assert problem_of(OSError(errno.EMFILE, "Too many open files")) == "Too many open files"

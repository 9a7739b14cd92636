"""The five commands of docs/security.md, as they stand there, and what the log says after them."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.support.certificates import Authority
from tests.support.deployment import ROOT
from tests.support.ports import free_port

TIMEOUT_S = 110.0
BIN = Path(sys.executable).parent


def commands() -> tuple[str, str]:
    """Those that make a certificate, and the five."""
    text = (ROOT / "docs" / "security.md").read_text()
    section = text.partition("## In five commands")[2].partition("\n## ")[0]
    certificate, five = re.findall(r"```\n(.*?)```", section, re.DOTALL)
    assert five.count("\n") == 5
    return certificate, five


def make_certificate(folder: Path) -> None:
    """As the page does; where there is no openssl, as the other tests do."""
    if shutil.which("openssl") is None:
        Authority(folder).issue("server")
    else:
        made = ["bash", "-ec", commands()[0]]
        subprocess.run(made, cwd=folder, check=True, capture_output=True, timeout=TIMEOUT_S)


@pytest.fixture
def port() -> int:
    return free_port()


def test_the_five_commands_of_the_documentation_work(tmp_path: Path, port: int) -> None:
    """The answer arrives by TLS with the token; neither token nor key is in what anybody wrote."""
    make_certificate(tmp_path)
    script = commands()[1].replace(
        "steeple serve", f"steeple serve --port {port} --log-level debug"
    )
    env = {
        **os.environ,
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "protos")]),
        "STEEPLE_TARGET": f"127.0.0.1:{port}",
    }
    process = subprocess.Popen(
        ["bash", "-ec", f"{script}\nkill %1; wait %1"],
        cwd=tmp_path,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    started = psutil.Process(process.pid)
    try:
        out, err = process.communicate(timeout=TIMEOUT_S)
    finally:
        for child in [*started.children(recursive=True)] if process.poll() is None else []:
            child.kill()
        process.kill()
    assert process.returncode == 0, err
    assert (tmp_path / "alice.token").stat().st_mode & 0o077 == 0
    assert "4\n" in out
    assert re.search(r"^alice\t20\d\d-.*\tdefault\t[0-9a-f]{8}$", out, re.MULTILINE)
    token = (tmp_path / "alice.token").read_text().strip()
    key_line = (tmp_path / "server.key").read_text().splitlines()[1]
    assert "principal=alice" in err
    for secret in (token, token.removeprefix("steeple_")[:16], key_line):
        assert secret not in out + err

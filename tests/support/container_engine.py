"""A Docker engine of the test's own, on a bare Debian machine: packages, base image, daemon."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.deployment import ROOT

CACHE = ROOT / "build" / "compose-test"
"""What is slow to fetch stays there; `make clean` removes it."""
PACKAGES = ("docker.io", "docker-compose", "debootstrap", "iptables", "prometheus")
COMMANDS = ("dockerd", "docker-compose", "debootstrap", "iptables", "prometheus")
SUITE = "bookworm"
BASE_PACKAGES = "python3,python3-venv,python3-pip,ca-certificates"
BASE_IMAGE = "steeple-test-base:latest"
START_LIMIT_S = 60.0
# The daemon's own programs are not where a user who is not root looks.
PATH = os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/sbin"])


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerEngine:
    """Where an engine is, and what the images are built on."""

    host: str
    base_image: str

    @property
    def environment(self) -> Mapping[str, str]:
        """What its commands need."""
        return {"PATH": PATH, "HOME": os.environ.get("HOME", "/"), "DOCKER_HOST": self.host}


@contextmanager
def container_engine(folder: Path) -> Iterator[ContainerEngine]:
    """The engine of DOCKER_HOST, else one of our own; skips where none can run.

    Args:
        folder: of the engine; whatever it stores is there.
    """
    if host := os.environ.get("DOCKER_HOST"):
        base = os.environ.get("BASE_IMAGE", "python:3.12-slim-bookworm")
        yield ContainerEngine(host=host, base_image=base)
        return
    install_packages()
    socket = f"unix://{folder}/docker.sock"
    with daemon(folder, socket):
        engine = ContainerEngine(host=socket, base_image=BASE_IMAGE)
        with base_tree().open("rb") as tree:
            told = ["docker", "import", "-", BASE_IMAGE]
            subprocess.run(told, stdin=tree, env=engine.environment, check=True)
        yield engine


def install_packages() -> None:
    """Have Debian's packages; skips where that is for somebody else to do."""
    if all(shutil.which(command, path=PATH) for command in COMMANDS):
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        pytest.skip(f"needs {', '.join(PACKAGES)}, and root on Debian to install them")
    install = ["apt-get", "install", "--yes", "--no-install-recommends", *PACKAGES]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["apt-get", "update"], install):
        done = subprocess.run(command, env=environment, check=False)
        if done.returncode != 0:
            pytest.skip(f"{' '.join(command[:2])} does not work here")


def base_tree() -> Path:
    """A small Debian with Python, as a tar file: what the images are built on."""
    archive = CACHE / f"{SUITE}.tar"
    if not archive.is_file():
        CACHE.mkdir(parents=True, exist_ok=True)
        tree = CACHE / SUITE
        shutil.rmtree(tree, ignore_errors=True)
        make = ["debootstrap", "--variant=minbase", f"--include={BASE_PACKAGES}", SUITE, str(tree)]
        subprocess.run(make, env={**os.environ, "PATH": PATH}, check=True)
        partial = archive.with_suffix(".partial")
        subprocess.run(["tar", "-C", str(tree), "-cf", str(partial), "."], check=True)
        partial.rename(archive)
        shutil.rmtree(tree)
    return archive


@contextmanager
def daemon(folder: Path, socket: str) -> Iterator[None]:
    """A Docker daemon for the block; skips where it does not start.

    It has no default bridge: the images are built without a network, and the project's networks
    are its own. So it meets no other daemon of the machine. What stays when it ends are the chains
    of the firewall that every Docker daemon makes.
    """
    if os.geteuid() != 0:
        pytest.skip("needs root, or an engine that DOCKER_HOST names")
    log = folder / "daemon.log"
    command = [
        *("dockerd", f"--host={socket}", f"--data-root={folder}/data"),
        *(f"--exec-root={folder}/exec", f"--pidfile={folder}/pid", "--bridge=none"),
    ]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=output,
            env={**os.environ, "PATH": PATH},
            start_new_session=True,
        )
        try:
            if not _answers(socket, process):
                pytest.skip(f"no Docker engine starts here: {_last_line(log)}")
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(START_LIMIT_S)


def mounts_below(folder: Path) -> list[str]:
    """What is still mounted there."""
    mounted = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    return [path for path in mounted if Path(path).is_relative_to(folder)]


def _answers(socket: str, process: "subprocess.Popen[bytes]") -> bool:
    """Whether it does before it ends or START_LIMIT_S are over."""
    end = time.monotonic() + START_LIMIT_S
    ask = ["docker", "version"]
    environment = {"PATH": PATH, "DOCKER_HOST": socket}
    while process.poll() is None and time.monotonic() < end:
        if subprocess.run(ask, env=environment, capture_output=True, check=False).returncode == 0:
            return True
    return False


def _last_line(log: Path) -> str:
    return (log.read_text(errors="replace").splitlines() or ["it said nothing"])[-1]

"""docker-compose.yml as a running project, built from the tree as it is, without a network."""

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.support.compose_file import OUR_MODULES
from tests.support.container_engine import CACHE, ContainerEngine
from tests.support.deployment import ROOT
from tests.support.ports import free_port
from tools.requirements_of import requirements_of

WHEELS = CACHE / "wheels"
BASE_PYTHON = "3.11"
"""Of Debian's suite, which the wheels must be for."""
# The published image has a wget, for its health check.
_PROMETHEUS = """\
FROM {base}
COPY prometheus /bin/prometheus
RUN mkdir /prometheus && chown 65534:65534 /prometheus \\
    && printf '#!/usr/bin/python3\\nimport sys, urllib.request as r\\nr.urlopen(sys.argv[-1])\\n' \\
    > /usr/bin/wget && chmod +x /usr/bin/wget
ENTRYPOINT ["/bin/prometheus"]
"""
UP_LIMIT_S = 300.0
BUILD_LIMIT_S = 1500.0


class ComposeProject:
    """The three services in containers.

    Args:
        engine: runs them.
        folder: for a copy of the tree: wheels beside it would be in the way of others.
    """

    def __init__(self, engine: ContainerEngine, folder: Path) -> None:
        self.folder = folder
        self.base_image = engine.base_image
        self._environment = {
            **engine.environment,
            "BASE_IMAGE": engine.base_image,
            "COMPOSE_PROJECT_NAME": "steepletest",
            "GATEWAY_PORT": str(free_port()),
            "PIP_NO_INDEX": "1",
            "PROMETHEUS_IMAGE": "steeple-test-prometheus:test",
            "PROMETHEUS_PORT": str(free_port()),
            "STEEPLE_TAG": "test",
        }

    @property
    def target(self) -> str:
        """The published port of the gateway."""
        return f"127.0.0.1:{self._environment['GATEWAY_PORT']}"

    @property
    def prometheus(self) -> str:
        """The published port of Prometheus, with the profile that has it."""
        return f"127.0.0.1:{self._environment['PROMETHEUS_PORT']}"

    def build(self) -> None:
        """Make the three images."""
        _copy_tree(self.folder)
        shutil.copytree(wheels(), self.folder / "deploy" / "wheelhouse", dirs_exist_ok=True)
        self.compose("build", limit_s=BUILD_LIMIT_S)

    def build_prometheus(self) -> None:
        """Stand in for the image of the profile: this machine's Prometheus on the base image."""
        folder = self.folder / "build" / "prometheus"
        folder.mkdir(parents=True)
        shutil.copy(str(shutil.which("prometheus")), folder)
        (folder / "Dockerfile").write_text(_PROMETHEUS.format(base=self.base_image))
        self.docker("build", f"--tag={self._environment['PROMETHEUS_IMAGE']}", str(folder))

    def up(self, *services: str) -> None:
        """Start what does not run; returns when what the gateway depends on is healthy."""
        self.compose("up", "--detach", *services, limit_s=UP_LIMIT_S)

    def down(self) -> None:
        """Remove containers, networks and volumes."""
        self.compose("down", "--volumes", limit_s=UP_LIMIT_S)

    def compose(self, *arguments: str, limit_s: float = 60.0) -> str:
        """What a command of Compose prints."""
        return self._run(["docker-compose", *arguments], limit_s)

    def docker(self, *arguments: str) -> str:
        """What a command of Docker prints."""
        return self._run(["docker", *arguments], BUILD_LIMIT_S)

    def inside(self, service: str, *command: str) -> str:
        """What a command prints inside a service's container."""
        return self.compose("exec", "-T", service, *command)

    def state(self, service: str) -> Mapping[str, Any]:
        """What Docker knows of a service's container."""
        container = self.compose("ps", "--quiet", service).strip()
        return dict(json.loads(self.docker("inspect", container))[0])

    def is_healthy(self, service: str) -> bool:
        """Whether its last probe said so."""
        return bool(self.state(service)["State"]["Health"]["Status"] == "healthy")

    def image(self, service: str) -> str:
        """The name of its image."""
        return f"steeple-{service}:{self._environment['STEEPLE_TAG']}"

    def _run(self, command: Sequence[str], limit_s: float) -> str:
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=limit_s,
        )
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-4000:]}{done.stderr}"
        return done.stdout


def wheels() -> Path:
    """Everything that the images install, fetched by this machine's pip as it is set up."""
    pyproject = (ROOT / "pyproject.toml").read_text()
    needed = {each for name in OUR_MODULES for each in requirements_of(name, pyproject)}
    fetch = [
        *(sys.executable, "-m", "pip", "download", "--quiet", f"--dest={WHEELS}"),
        *(f"--python-version={BASE_PYTHON}", "--only-binary=:all:"),
        *(f"--constraint={ROOT / 'constraints.txt'}", *sorted(needed), "setuptools"),
    ]
    WHEELS.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(fetch, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return WHEELS


def _copy_tree(folder: Path) -> None:
    """The files of the checkout, new ones included, without what git ignores."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        source, copy = ROOT / name, folder / name
        if source.is_file():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, copy)

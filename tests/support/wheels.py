"""The distributions of this checkout, and environments that hold one with some extra.

An environment is linked from the packages of this one, in a second and without a network, unless
STEEPLE_WHEELS=installed: then pip installs it, as a user would (`make wheel-check`).
"""

import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from zipfile import ZipFile

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = (
    "engine_svc",
    "gateway",
    "steeple",
    "steeple_cli",
    "steeple_client",
    "steeple_demo",
    "steeple_rpc",
    "tokenizer_svc",
)
INSTALLED = os.environ.get("STEEPLE_WHEELS") == "installed"
TIMEOUT_S = 900.0 if INSTALLED else 100.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Distributions:
    """What a release publishes."""

    wheel: Path
    sdist: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """A virtual environment of its own that holds the wheel."""

    folder: Path

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    def run(self, *arguments: str, status: int = 0) -> str:
        """What `python ARGUMENTS` wrote; fails unless it ended with this status."""
        return run(str(self.python), *arguments, cwd=self.folder, status=status)


Environments = Callable[[str | None], Environment]
"""Gives the environment of one extra; None = that of the wheel alone."""


def run(*command: str, cwd: Path, status: int = 0) -> str:
    """What a command wrote to both its outputs, away from this checkout."""
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        command,
        cwd=cwd,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=TIMEOUT_S,
    )
    assert done.returncode == status, done.stdout
    return done.stdout


def build(folder: Path) -> Distributions:
    """Build the source distribution and, from that, the wheel."""
    source = folder / "source"
    # A copy: building leaves files behind, and takes in what an earlier build has left.
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("protos", *(package for package in PACKAGES if package != "steeple")):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    command = (sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder / "dist"))
    run(*command, str(source), cwd=folder)
    (wheel,) = (folder / "dist").glob("*.whl")
    (sdist,) = (folder / "dist").glob("*.tar.gz")
    return Distributions(wheel=wheel, sdist=sdist)


def environment(folder: Path, wheel: Path, extra: str | None) -> Environment:
    """A new environment with the wheel and what one extra brings, and nothing else."""
    made = Environment(folder=folder)
    if INSTALLED:
        venv.create(folder, with_pip=True)
        _install(made, wheel, extra)
    else:
        venv.create(folder, with_pip=False)
        _link(made, wheel, extra)
    return made


def _install(made: Environment, wheel: Path, extra: str | None) -> None:
    wanted = f"steeple{f'[{extra}]' if extra else ''} @ {wheel.as_uri()}"
    index = os.environ.get("TORCH_INDEX_URL")
    options = ("--extra-index-url", index) if index else ()
    pins = ("--constraint", str(ROOT / "constraints.txt"))
    made.run("-m", "pip", "install", "--quiet", *pins, *options, wanted)


def _link(made: Environment, wheel: Path, extra: str | None) -> None:
    site = made.folder / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"
    with ZipFile(wheel) as archive:
        archive.extractall(site)
    (info,) = site.glob("steeple-*.dist-info")
    lines = metadata.PathDistribution(info).requires or []
    for name in set(_closure(lines, extra or "", set())):
        _link_distribution(metadata.distribution(name), site)


def _closure(lines: list[str], extra: str, seen: set[tuple[str, str]]) -> Iterator[str]:
    """The distributions that requirements name, and those that these require in turn."""
    for wanted in map(Requirement, lines):
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": extra}):
            continue
        name = canonicalize_name(wanted.name)
        if name != "steeple":
            yield name
        for inner in ("", *wanted.extras):
            if (name, inner) not in seen:
                seen.add((name, inner))
                requires = lines if name == "steeple" else metadata.requires(name)
                yield from _closure(requires or [], inner, seen)


def _link_distribution(distribution: metadata.Distribution, site: Path) -> None:
    """Everything of it below site-packages: folders as a whole, shared ones file by file."""
    left_out = {"..", "__pycache__"}
    files = [file for file in distribution.files or () if left_out.isdisjoint(file.parts)]
    shared = {name for name, owners in _owners().items() if len(set(owners)) > 1}
    whole = {Path(file.parts[0]) for file in files if file.parts[0] not in shared}
    for part in whole | {Path(file) for file in files if file.parts[0] in shared}:
        target = site / part
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(Path(str(distribution.locate_file(str(part)))))


@cache
def _owners() -> Mapping[str, list[str]]:
    """The distributions that each top-level folder of this environment belongs to."""
    return metadata.packages_distributions()


def remove(folder: Path) -> None:
    """Delete environments: pytest keeps temporary folders, and these are large."""
    shutil.rmtree(folder)

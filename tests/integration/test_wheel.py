"""What works in the checkout works from the wheel, away from the checkout."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

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


def run(command: list[str], **options: object) -> str:
    """Its stdout; fails with its stderr."""
    done = subprocess.run(  # type: ignore[call-overload] # options by name
        command, capture_output=True, text=True, check=False, timeout=240, **options
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return str(done.stdout)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the wheel's files; the dependencies are this environment's."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    # A copy: building in the checkout would leave files there.
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("protos", *(package for package in PACKAGES if package != "steeple")):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder)]
    run([*build, str(source)])
    (wheel,) = folder.glob("*.whl")
    target = folder / "site"
    install = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--quiet"]
    run([*install, "--target", str(target), str(wheel)])
    return target


def environment(installed: Path) -> dict[str, str]:
    """The wheel's files come before everything else."""
    return {**os.environ, "PYTHONPATH": str(installed)}


def test_every_package_comes_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    """None from the checkout; protos and types are inside."""
    code = f"import {', '.join(PACKAGES)}; print(*(m.__file__ for m in ({', '.join(PACKAGES)})))"
    told = run([sys.executable, "-c", code], cwd=tmp_path, env=environment(installed))
    assert all(Path(name).is_relative_to(installed) for name in told.split())
    for name in (
        "engine/v1/engine_service.proto",
        "engine/v1/info_pb2.pyi",
        "descriptors.binpb",
        "py.typed",
    ):
        assert (installed / "steeple" / name).is_file()


def test_the_demo_runs_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    """All three services, the model and the answer."""
    command = [sys.executable, "-m", "steeple_cli", "demo"]
    told = run(command, cwd=tmp_path, env=environment(installed))
    assert "What is 2+2? 4\n" in told

"""The wheel and the source distribution hold what they should, and nothing else."""

import tarfile
import tomllib
from collections.abc import Mapping
from email import message_from_string
from email.message import Message
from pathlib import Path, PurePosixPath
from typing import Any
from zipfile import ZipFile

import pytest

from tests.support.wheels import INSTALLED, PACKAGES, ROOT, Distributions, Environments

PROJECT: Mapping[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
INFO = f"steeple-{PROJECT['version']}.dist-info"


@pytest.fixture(scope="module")
def names(distributions: Distributions) -> set[str]:
    """Every file of the wheel."""
    with ZipFile(distributions.wheel) as archive:
        return set(archive.namelist())


@pytest.fixture(scope="module")
def metadata(distributions: Distributions) -> Message:
    """What the wheel tells an index."""
    with ZipFile(distributions.wheel) as archive:
        return message_from_string(archive.read(f"{INFO}/METADATA").decode())


def files_of(package: str) -> set[str]:
    """What this checkout holds of a package, as the wheel should name it."""
    folder = ROOT / "protos" / package if package == "steeple" else ROOT / package
    return {
        str(path.relative_to(folder.parent))
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


@pytest.mark.parametrize("package", PACKAGES)
def test_every_file_of_a_package_is_inside(package: str, names: set[str]) -> None:
    assert files_of(package) <= names


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_says_that_it_is_typed(package: str, names: set[str]) -> None:
    assert f"{package}/py.typed" in names


def test_nothing_else_is_inside(names: set[str]) -> None:
    """No tests, no tools, no caches."""
    assert {name.partition("/")[0] for name in names} == {*PACKAGES, INFO}
    assert not [name for name in names if "__pycache__" in name or name.endswith("_test.py")]


def test_the_contract_is_inside_by_version_with_its_types(names: set[str]) -> None:
    """Each .proto beside its generated code and the types of that."""
    protos = [PurePosixPath(name) for name in names if name.endswith(".proto")]
    assert len(protos) == len(list((ROOT / "protos" / "steeple").rglob("*.proto")))
    for proto in protos:
        assert proto.parent.name == "v1"
        for suffix in ("_pb2.py", "_pb2.pyi"):
            assert str(proto.with_name(proto.stem + suffix)) in names


def test_the_licences_are_inside(names: set[str]) -> None:
    licenses = {name for name in names if name.startswith(f"{INFO}/licenses/")}
    assert {name.removeprefix(f"{INFO}/licenses/") for name in licenses} >= {
        "LICENSE",
        "protos/third_party/LICENSE",
    }


def test_an_index_is_told_what_the_project_file_says(metadata: Message) -> None:
    assert metadata["Version"] == PROJECT["version"]
    assert metadata["Summary"] == PROJECT["description"]
    assert set(metadata.get_all("Provides-Extra", [])) == set(PROJECT["optional-dependencies"])
    classifiers = metadata.get_all("Classifier", [])
    assert "Typing :: Typed" in classifiers
    assert "Programming Language :: Python :: 3.11" in classifiers


def test_the_readme_is_the_description(metadata: Message) -> None:
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert metadata.get_payload() == (ROOT / "README.md").read_text("utf-8")


@pytest.mark.skipif(not INSTALLED, reason="twine is not of this environment: make wheel-check")
@pytest.mark.timeout(600)
def test_an_index_would_take_both(distributions: Distributions, environments: Environments) -> None:
    """Their metadata is complete and the description renders."""
    files = (str(distributions.wheel), str(distributions.sdist))
    told = environments("release").run("-m", "twine", "check", "--strict", *files)
    assert told.count("PASSED") == len(files)


def test_the_source_distribution_holds_what_the_wheel_is_built_from(
    distributions: Distributions, names: set[str]
) -> None:
    """The wheel was built from it, so what one lacks the other lacks: see the first test."""
    with tarfile.open(distributions.sdist) as archive:
        inside = {"/".join(Path(name).parts[1:]) for name in archive.getnames()}
    code = {name for name in names if not name.startswith(("steeple/", INFO))}
    assert code | {f"protos/{name}" for name in files_of("steeple")} <= inside
    assert {"pyproject.toml", "README.md", "LICENSE"} <= inside

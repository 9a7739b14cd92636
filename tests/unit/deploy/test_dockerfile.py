"""The Dockerfile fits the tree, the compose file and the services."""

import re
import shlex
import tomllib

import pytest

from tests.support.compose_file import OUR_MODULES, SPYRE, services
from tests.support.deployment import ROOT
from tools.requirements_of import requirements_of

DOCKERFILE = (ROOT / "Dockerfile").read_text().replace("\\\n", "")
PYPROJECT = (ROOT / "pyproject.toml").read_text()
STAGES = re.findall(r"^FROM (\S+) AS (\S+)$", DOCKERFILE, re.MULTILINE)
OURS = sorted(OUR_MODULES)
# A line that must hold for builders without BuildKit, too.
BUILDKIT_ONLY = re.compile(
    r"^(RUN|COPY|ADD) --(mount|network|link|chmod|parents|exclude)|<<", re.MULTILINE
)


def stage(name: str) -> str:
    """The instructions of a stage."""
    return DOCKERFILE.partition(f" AS {name}\n")[2].partition("\nFROM ")[0]


def name_of(requirement: str) -> str:
    """The package that a requirement is about."""
    return re.split(r"[^A-Za-z0-9_.-]", requirement)[0]


@pytest.mark.parametrize("name", OURS)
def test_a_service_has_a_target_that_runs_it(name: str) -> None:
    service = services()[name]
    assert service["build"]["target"] == name
    assert f'ENTRYPOINT ["python", "-m", "{OUR_MODULES[name]}"]' in stage(name)
    port = service["healthcheck"]["test"][4].rpartition(":")[2]
    assert f"EXPOSE {port}\n" in stage(name) + "\n"


@pytest.mark.parametrize("name", OURS)
def test_an_image_is_the_base_image_with_one_environment(name: str) -> None:
    """No shell has run in it, so nothing but the environment is in it, and the user is not root."""
    assert dict(reversed(pair) for pair in STAGES)[name] == "runtime"
    (copied,) = [line for line in stage(name).splitlines() if line.startswith(("COPY", "RUN"))]
    assert copied == f"COPY --from={name}-packages /opt/steeple/ /opt/steeple/"
    assert "RUN" not in stage("runtime")
    assert f"USER {services()[name]['user']}" in stage("runtime")


@pytest.mark.parametrize("name", OURS)
def test_an_image_installs_the_extra_of_its_service(name: str) -> None:
    packages = stage(f"{name}-packages")
    assert f"COPY --from=requirements /build/{name}.txt" in packages
    assert f"install --requirement {name}.txt" in packages
    assert "torch" not in stage("gateway-packages") + stage("tokenizer-packages")


def test_only_the_engine_needs_torch() -> None:
    """Whatever an extra names, by way of other extras too."""
    needed = {name: {name_of(each) for each in requirements_of(name, PYPROJECT)} for name in OURS}
    assert {name for name in OURS if "torch" in needed[name]} == {"engine"}
    assert "tokenizers" in needed["engine"] & needed["tokenizer"] - needed["gateway"]
    assert not any("[" in each for each in needed["engine"])


def test_builders_without_buildkit_read_it() -> None:
    assert not BUILDKIT_ONLY.search(DOCKERFILE)


def test_a_change_for_one_service_does_not_build_torch() -> None:
    """A builder without BuildKit runs all stages down to the wanted one."""
    names = [name for _, name in STAGES]
    assert names[-2:] == ["engine-packages", "engine"]


def test_the_wheel_is_built_from_every_package() -> None:
    """One that is forgotten would be missing in the images only."""
    found = tomllib.loads(PYPROJECT)["tool"]["setuptools"]["packages"]["find"]["include"]
    packages = {pattern.partition(".")[0].rstrip("*") for pattern in found} - {"steeple"}
    assert {f"{name}/" for name in packages | {"protos"}} <= set(copied_from_the_tree())


def test_the_context_holds_what_is_copied_and_no_more() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    allowed = {line.removeprefix("!") for line in lines if line.startswith("!")}
    assert allowed == {path.rstrip("/") for path in copied_from_the_tree()}


def test_what_pip_is_told_stays_out_of_the_images() -> None:
    """An index may have a password in its address."""
    for name in ("runtime", *OURS):
        assert "PIP_" not in stage(name)
        assert "ARG" not in stage(name)


def test_every_argument_is_passed_on_by_compose() -> None:
    taken = set(re.findall(r"^ARG (\w+)", DOCKERFILE, re.MULTILINE))
    passed = {key for name in OURS for key in services()[name]["build"]["args"]}
    assert taken == passed | services(SPYRE)["engine"]["build"]["args"].keys()


def copied_from_the_tree() -> list[str]:
    """Every source of a COPY that is not of another stage."""
    lines = [shlex.split(line) for line in DOCKERFILE.splitlines() if line.startswith("COPY ")]
    return [source for line in lines if "--from" not in line[1] for source in line[1:-1]]

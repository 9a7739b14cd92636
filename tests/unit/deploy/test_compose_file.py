"""docker-compose.yml keeps its promises, as far as they can be read without a container engine."""

import os
import re
import shutil
import subprocess
from typing import Any

import pytest
import yaml

from engine_svc.settings import EngineSettings
from gateway.settings import GatewaySettings
from steeple_rpc import probe
from steeple_rpc.lifecycle import FAREWELL_S
from steeple_rpc.settings import ServiceSettings, load_settings
from tests.support.compose_file import (
    COMPOSE,
    OUR_MODULES,
    SPYRE,
    compose_tree,
    seconds,
    services,
    variables_of,
)
from tests.support.deployment import ROOT
from tokenizer_svc.settings import TokenizerSettings

SETTINGS: dict[str, type[ServiceSettings]] = {
    "gateway": GatewaySettings,
    "tokenizer": TokenizerSettings,
    "engine": EngineSettings,
}
ALL = sorted(services())
OURS = sorted(OUR_MODULES)
# What docker-compose 1.28 knows, too; `name`, `include`, `develop` came later.
TOP_LEVEL = {"services", "networks", "volumes"}


def settings_of(name: str, monkeypatch: pytest.MonkeyPatch) -> Any:  # of its own class
    """What a service of ours makes of its environment; fails on a variable it does not know."""
    for key, value in services()[name]["environment"].items():
        monkeypatch.setenv(key, value)
    return load_settings(SETTINGS[name], [])


def test_the_top_level_is_read_by_both_generations() -> None:
    assert {key for key in compose_tree() if not key.startswith("x-")} <= TOP_LEVEL


@pytest.mark.parametrize("name", ALL)
def test_every_container_is_locked_down(name: str) -> None:
    """A user that is not root, nothing to write but named places, no capability to gain."""
    service = services()[name]
    user, _, _ = str(service["user"]).partition(":")
    assert int(user) > 0
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service


@pytest.mark.parametrize("name", ALL)
def test_every_container_tells_its_health_and_comes_back(name: str) -> None:
    service = services()[name]
    assert service["healthcheck"]["test"][0] == "CMD"
    assert service["restart"] == "unless-stopped"
    assert {"max-size", "max-file"} <= service["logging"]["options"].keys()


@pytest.mark.parametrize("name", ALL)
def test_ports_are_published_on_loopback_only(name: str) -> None:
    for port in services()[name].get("ports", []):
        assert port.startswith("127.0.0.1:")


def test_only_the_gateway_of_ours_is_reached_from_outside() -> None:
    """The others are on a network without a way in or out."""
    tree = compose_tree()
    assert tree["networks"]["private"]["internal"] is True
    for name in ("tokenizer", "engine"):
        assert "ports" not in tree["services"][name]
        assert tree["services"][name]["networks"] == ["private"]


def test_whoever_depends_waits_for_health() -> None:
    for name in ALL:
        for condition in services()[name].get("depends_on", {}).values():
            assert condition == {"condition": "service_healthy"}
    assert services()["gateway"]["depends_on"].keys() == {"tokenizer", "engine"}


@pytest.mark.parametrize("name", OURS)
def test_a_service_accepts_what_it_is_told(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every variable is one of its settings; the switches for a private network are explicit."""
    settings = settings_of(name, monkeypatch)
    assert settings.listen.startswith("0.0.0.0:")
    assert settings.insecure_bind
    assert settings.reflection is (name == "gateway")
    assert settings.log_format == "json"


@pytest.mark.parametrize("name", OURS)
def test_a_probe_asks_where_the_service_listens(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its command is one that the probe takes."""
    command = services()[name]["healthcheck"]["test"]
    port = settings_of(name, monkeypatch).listen.rpartition(":")[2]
    assert command[:4] == ["CMD", "python", "-m", "steeple_rpc.probe"]
    assert probe._question(command[4:]).address == f"127.0.0.1:{port}"


@pytest.mark.parametrize("name", OURS)
def test_a_service_has_the_time_to_drain(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_of(name, monkeypatch)
    needed = settings.drain_delay_s + settings.grace_s + FAREWELL_S
    assert seconds(services()[name]["stop_grace_period"]) > needed + 5


def test_an_engine_that_loads_is_not_called_unhealthy(monkeypatch: pytest.MonkeyPatch) -> None:
    start_period = seconds(services()["engine"]["healthcheck"]["start_period"])
    assert start_period >= settings_of("engine", monkeypatch).startup_timeout_s


def test_the_services_find_and_name_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = settings_of("gateway", monkeypatch)
    tokenizer = settings_of("tokenizer", monkeypatch)
    engine = settings_of("engine", monkeypatch)
    assert gateway.tokenizer == f"tokenizer:{tokenizer.listen.rpartition(':')[2]}"
    assert gateway.engine == [f"engine:{engine.listen.rpartition(':')[2]}"]
    assert list(tokenizer.directories) == [engine.model_name]
    assert [str(path) for path in tokenizer.directories.values()] == [engine.model]


def test_the_model_is_mounted_read_only_where_it_is_looked_for() -> None:
    """In the long form, which tells a folder that is missing instead of making an empty one."""
    for name in ("tokenizer", "engine"):
        (mount,) = services()[name]["volumes"]
        assert (mount["type"], mount["target"], mount["read_only"]) == ("bind", "/model", True)
        assert (ROOT / mount["source"] / "config.json").is_file()


def test_the_page_names_the_variables_and_their_defaults() -> None:
    page = (ROOT / "docs" / "deployment.md").read_text().partition("## Spyre cards")[0]
    told = dict(re.findall(r"^\| `([A-Z_]+)` \| (?:`([^`]*)`|\u2013) \|", page, re.MULTILINE))
    assert told == variables_of(COMPOSE)


def test_the_override_for_spyre_is_one_of_the_engine_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its variables are told, and the engine takes what it is given."""
    override = services(SPYRE)
    assert override.keys() == {"engine"}
    page = (ROOT / "docs" / "deployment.md").read_text().partition("## Spyre cards")[2]
    told = dict(re.findall(r"^\| `([A-Z_]+)` \| (?:`([^`]*)`)? ?\|", page, re.MULTILINE))
    assert told == variables_of(SPYRE)
    given = override["engine"]["environment"]
    for key, value in {**services()["engine"]["environment"], **given}.items():
        monkeypatch.setenv(key, value)
    settings = load_settings(EngineSettings, [])
    start_period = seconds(override["engine"]["healthcheck"]["start_period"])
    assert start_period >= settings.startup_timeout_s
    assert given["FLEX_COMPUTE"] == "SENTIENT"
    assert override["engine"]["entrypoint"][2].endswith('exec python -m engine_svc "$@"')


def docker_compose() -> list[str]:
    """The command of whichever generation is installed; skips where none is."""
    if command := shutil.which("docker-compose"):
        return [command]
    plugin = ["docker", "compose"]
    if not shutil.which("docker") or subprocess.run([*plugin, "version"], check=False).returncode:
        pytest.skip("no Compose is installed")
    return plugin


def test_compose_itself_reads_the_file_as_the_tests_do() -> None:
    """Whichever generation is here; what it prints is this file with its variables filled in."""
    environment = {"PATH": os.environ["PATH"]}
    told = subprocess.run(
        [*docker_compose(), "--file", str(COMPOSE), "--profile", "observe", "config"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout
    read = yaml.safe_load(told)["services"]
    assert sorted(read) == ALL
    for name in ALL:
        ours = services()[name]
        assert read[name]["user"] == ours["user"]
        assert read[name].get("environment") == ours.get("environment")


def test_compose_itself_adds_the_override() -> None:
    """The engine keeps what the first file says and gets what the second adds."""
    given = {"SPYRE_BASE_IMAGE": "base", "SPYRE_CARD": "0000:1a:00.0", "VFIO_GROUP": "77"}
    told = subprocess.run(
        [*docker_compose(), "--file", str(COMPOSE), "--file", str(SPYRE), "config"],
        env={"PATH": os.environ["PATH"], **given},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout
    engine = yaml.safe_load(told)["services"]["engine"]
    assert engine["build"]["args"]["BASE_IMAGE"] == "base"
    assert engine["environment"]["AIU_WORLD_RANK_0"] == given["SPYRE_CARD"]
    assert engine["environment"]["STEEPLE_ENGINE_LISTEN"] == "0.0.0.0:50053"
    assert engine["read_only"] is True

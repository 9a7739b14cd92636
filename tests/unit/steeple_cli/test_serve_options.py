"""What `steeple serve` passes on to a service is what the service takes."""

from fnmatch import fnmatch
from pathlib import Path

import pytest

from engine_svc.policy_options import READ_BY
from engine_svc.settings import EngineSettings
from gateway.settings import GatewaySettings
from steeple_cli.serving.options import OPTIONS, arguments_of
from steeple_cli.serving.plan import MODULES, ServePlan, command_lines, in_our_words, settled
from steeple_rpc.settings import ServiceSettings, load_settings
from tokenizer_svc.settings import TokenizerSettings

SETTINGS: dict[str, type[ServiceSettings]] = {
    "gateway": GatewaySettings,
    "tokenizer": TokenizerSettings,
    "engine": EngineSettings,
}
NOTHING = {name: one.default for name, one in OPTIONS.items()}


def test_options_arrive_as_they_were_given() -> None:
    """Words, numbers and both sides of a switch."""
    given = {
        "scheduler": "spyre_chunked",
        "max_num_batched_tokens": "128",
        "max_batch_tkv": "4k",
        "min_decode_rows": "2",
        "interleave": False,
        "prefix_caching": True,
        "over_limit": "pause",
        "pause_order": "most-first",
    }
    arguments = arguments_of(NOTHING | given)
    settings = load_settings(EngineSettings, ["--model=/m", *arguments["engine"]])
    assert settings.scheduler == "spyre_chunked"
    assert (settings.max_num_batched_tokens, settings.max_batch_tkv) == (128, 4000)
    assert (settings.interleave, settings.prefix_caching) == (False, True)
    assert (settings.over_limit, settings.pause_order) == ("pause", "most-first")
    assert settings.join is None
    assert set(arguments) == {"engine"}


def test_nothing_given_is_nothing_passed_on() -> None:
    """The services know the defaults."""
    assert arguments_of(NOTHING) == {}


def test_an_option_for_every_service_reaches_every_service() -> None:
    passed = arguments_of(NOTHING | {"insecure_bind": True})
    assert passed == {name: ["--insecure-bind"] for name in MODULES}


@pytest.mark.parametrize(
    ("name", "service"),
    [(name, service) for name, one in OPTIONS.items() for service in one.services],
)
def test_every_option_for_a_service_is_a_setting_of_it(name: str, service: str) -> None:
    """By the same name; a switch where it is one there."""
    field = SETTINGS[service].model_fields[name]
    assert (OPTIONS[name].kind is bool) == (field.annotation in {bool, bool | None})


@pytest.mark.parametrize("name", READ_BY)
def test_every_option_of_a_policy_can_be_given_to_serve(name: str) -> None:
    """By the engine's own name."""
    assert name in OPTIONS
    assert OPTIONS[name].services == ("engine",)


@pytest.mark.parametrize(
    "name", [name for name in READ_BY if OPTIONS[name].group == "Batching policy"]
)
def test_the_help_of_such_an_option_names_the_policies_that_read_it(name: str) -> None:
    """No more and no fewer: with another policy the engine refuses it."""
    named = OPTIONS[name].text.partition(":")[0].split(", ")
    policies = {policy for readers in READ_BY.values() for policy in readers}
    told = {policy for policy in policies if any(fnmatch(policy, each) for each in named)}
    assert told == set(READ_BY[name])


def test_each_service_accepts_the_command_line_made_for_it() -> None:
    """With a comma in the path, and a port for the metrics of each."""
    plan = ServePlan(
        model_dir=Path("/models/a,b"),
        model_name="m",
        listen="127.0.0.1:50051",
        grace_s=3,
        startup_timeout_s=60,
        metrics_port=9090,
        arguments={"engine": ["--max-num-seqs=2"]},
    )
    lines = command_lines(plan, Path("/run/s"))
    assert list(lines) == list(MODULES)
    loaded = {name: load_settings(SETTINGS[name], list(line)) for name, line in lines.items()}
    assert [one.metrics_listen for one in loaded.values()] == [
        f"127.0.0.1:{port}" for port in (9090, 9091, 9092)
    ]
    assert {one.grace_s for one in loaded.values()} == {3.0}
    assert loaded["tokenizer"].model_dump()["model"] == ("m=/models/a,b",)
    engine = loaded["engine"].model_dump()
    assert (engine["model"], engine["served_model_name"]) == ("/models/a,b", "m")
    assert (engine["max_num_seqs"], engine["startup_timeout_s"]) == (2, 60.0)


def test_what_serve_settles_no_option_for_a_service_can_change() -> None:
    """Else --print-config would tell what is overruled."""
    plan = ServePlan(
        model_dir=Path("/m"),
        model_name="m",
        listen="127.0.0.1:1",
        grace_s=1,
        startup_timeout_s=1,
        metrics_port=9090,
        config=Path("/f"),
    )
    passed_on = {f"--{name.replace('_', '-')}" for name, one in OPTIONS.items() if one.services}
    for arguments in settled(plan, Path("/run/s")).values():
        assert not passed_on & {argument.partition("=")[0] for argument in arguments}


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("choose another (--listen)", "choose another (--host, --port)"),
        ("choose another with --metrics-listen", "choose another with --metrics-port"),
        ("raise --startup-timeout-s", "raise --startup-timeout"),
        ("--listeners stay", "--listeners stay"),
    ],
)
def test_a_service_is_quoted_in_the_words_of_the_command(theirs: str, ours: str) -> None:
    assert in_our_words(theirs) == ours

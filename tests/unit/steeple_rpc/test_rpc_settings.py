"""Where settings come from, which source wins, and what is said when one is wrong."""

from pathlib import Path
from typing import NamedTuple

import pytest
from pydantic import Field, ValidationError
from pydantic_settings import SettingsConfigDict

from steeple_rpc.config_file import CONFIG_VARIABLE
from steeple_rpc.printed_settings import printed
from steeple_rpc.settings import USAGE_ERROR, ServiceSettings, load_settings


class GatewayLike(ServiceSettings):
    """A service's settings as services write them."""

    model_config = SettingsConfigDict(env_prefix="STEEPLE_GATEWAY_")

    listen: str = "127.0.0.1:1"
    engine: list[str] = Field(default=["127.0.0.1:2"])


class Refusal(NamedTuple):
    """How a start with wrong settings ends."""

    status: object
    stderr: str


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(CONFIG_VARIABLE, raising=False)


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "steeple.toml"
    monkeypatch.setenv(CONFIG_VARIABLE, str(path))
    return path


def refusal(capsys: pytest.CaptureFixture[str], *argv: str) -> Refusal:
    with pytest.raises(SystemExit) as caught:
        load_settings(GatewayLike, list(argv))
    captured = capsys.readouterr()
    assert captured.out == ""
    return Refusal(caught.value.code, captured.err)


def test_nothing_given_means_the_defaults() -> None:
    settings = load_settings(GatewayLike, [])
    assert settings.listen == "127.0.0.1:1"
    assert settings.grace_s == 30.0
    assert settings.reflection is None
    assert settings.insecure_bind is False


def test_the_command_line_beats_the_environment_beats_the_file(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config.write_text('[gateway]\nlisten = "f:1"\ngrace_s = 1\nlog_level = "error"\n')
    monkeypatch.setenv("STEEPLE_GATEWAY_LISTEN", "e:1")
    monkeypatch.setenv("STEEPLE_GATEWAY_GRACE_S", "2")
    settings = load_settings(GatewayLike, ["--listen=c:1"])
    assert (settings.listen, settings.grace_s, settings.log_level) == ("c:1", 2.0, "error")


def test_a_service_reads_its_own_table_only(config: Path) -> None:
    config.write_text('[gateway]\ngrace_s = 1\n[engine]\ngrace_s = 2\nmodel = "/m"\n')
    assert load_settings(GatewayLike, []).grace_s == 1.0


def test_a_list_repeats_on_the_command_line_and_is_json_in_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("STEEPLE_GATEWAY_ENGINE", '["a:1", "b:2"]')
    assert load_settings(GatewayLike, []).engine == ["a:1", "b:2"]
    assert load_settings(GatewayLike, ["--engine=c:3", "--engine=d:4"]).engine == ["c:3", "d:4"]


def test_switches_need_no_value() -> None:
    settings = load_settings(GatewayLike, ["--insecure-bind", "--no-reflection"])
    assert settings.insecure_bind is True
    assert settings.reflection is False


def test_settings_never_change() -> None:
    settings = load_settings(GatewayLike, [])
    with pytest.raises(ValidationError, match="frozen"):
        settings.listen = "x:1"


def test_an_unknown_variable_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STEEPLE_GATEWAY_LISTN", "x:1")
    line = "unknown variable STEEPLE_GATEWAY_LISTN; did you mean STEEPLE_GATEWAY_LISTEN?"
    assert refusal(capsys) == (USAGE_ERROR, f"error: {line}\n")


def test_other_services_variables_are_none_of_our_business(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("STEEPLE_ENGINE_MODEL", "/m")
    assert load_settings(GatewayLike, []).grace_s == 30.0


@pytest.mark.parametrize(
    ("argument", "option"),
    [
        ("--grace-s=-1", "--grace-s"),
        ("--grace-s=nan", "--grace-s"),
        ("--log-level=loud", "--log-level"),
        ("--max-message-bytes=5", "--max-message-bytes"),
    ],
)
def test_a_bad_value_names_its_option_on_one_line(
    capsys: pytest.CaptureFixture[str], argument: str, option: str
) -> None:
    told = refusal(capsys, argument)
    assert told.status == USAGE_ERROR
    assert told.stderr.startswith(f"error: {option}: ")
    assert told.stderr.count("\n") == 1


def test_every_bad_value_is_told_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    told = refusal(capsys, "--grace-s=-1", "--max-message-bytes=5")
    assert told.stderr.count("error: ") == 2


def test_an_unknown_option_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    told = refusal(capsys, "--lisen=x:1")
    assert told.status == USAGE_ERROR
    assert "--lisen" in told.stderr


def test_a_variable_that_cannot_be_read_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A list as people write it first: not JSON."""
    monkeypatch.setenv("STEEPLE_GATEWAY_ENGINE", "127.0.0.1:50053")
    line = 'STEEPLE_GATEWAY_ENGINE: several are written as JSON: ["A", "B"]'
    assert refusal(capsys) == (USAGE_ERROR, f"error: {line}\n")


def test_a_list_that_cannot_be_read_is_named_on_the_command_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    line = '--engine: several are written as JSON: ["A", "B"]'
    assert refusal(capsys, "--engine=[x") == (USAGE_ERROR, f"error: {line}\n")


def test_a_bad_value_is_told_with_the_place_that_it_counts_from(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The file, then a variable above it, then an option above both."""
    config.write_text("[gateway]\nreflection = 3\ngrace_s = -1\n")
    fault = "Input should be greater than or equal to 0"
    assert f"error: {config}: grace_s of [gateway]: {fault}\n" in refusal(capsys).stderr
    monkeypatch.setenv("STEEPLE_GATEWAY_GRACE_S", "-1")
    assert f"error: STEEPLE_GATEWAY_GRACE_S: {fault}\n" in refusal(capsys).stderr
    told = refusal(capsys, "--grace-s", "-1", "--no-reflection").stderr
    assert told == f"error: --grace-s: {fault}\n"


def test_an_item_of_a_list_is_told_by_its_number(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config.write_text('[gateway]\nengine = ["a:1", 2]\n')
    told = refusal(capsys).stderr
    assert told.startswith(f"error: {config}: engine of [gateway]: item 2: ")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('[gateway]\ncolour = "red"\n', "[gateway] has no key colour\n"),
        ("[gateway]\nlog-levle = 1\n", "no key log-levle; did you mean log_level?"),
        ('[gateway]\nssl_certfile = "c.pem"\n', "no key ssl_certfile; here it is tls_cert"),
        ('[gateway]\nconfig = "other.toml"\n', "no key config"),
        ("[gatway]\ngrace_s = 1\n", "gatway"),
        ("grace_s = 1\n", "grace_s"),
        ("gateway = 3\n", "gateway"),
        ("[gateway\n", "steeple.toml"),
        (f"[gateway]\nlisten = {'[' * 5000}", "nested too deeply"),
        (f"[gateway]\ngrace_s = {'9' * 5000}", "a number beyond all bounds"),
        ("[gateway]\ngrace_s = 2026-02-30", "steeple.toml: it is not TOML"),
        ("#" * ((1 << 20) + 1), "more than 1048576 bytes"),
        ("[gateway]\nmax_message_bytes = true\n", "true is not a number"),
    ],
)
def test_what_is_wrong_in_the_file_is_named(
    config: Path, capsys: pytest.CaptureFixture[str], text: str, named: str
) -> None:
    """An unknown key, an unknown table, a key outside of any, a table that is none, no TOML."""
    config.write_text(text)
    told = refusal(capsys)
    assert told.status == USAGE_ERROR
    assert named in told.stderr
    assert told.stderr.count("\n") == 1


def test_the_command_line_may_name_the_file(tmp_path: Path, config: Path) -> None:
    """Rather than the environment; both ways of writing it."""
    config.write_text("[gateway]\ngrace_s = 1\n")
    other = tmp_path / "other.toml"
    other.write_text("[gateway]\ngrace_s = 2\n[serve]\nport = 1\n")
    for arguments in ([f"--config={other}"], ["--config", str(other)]):
        settings = load_settings(GatewayLike, arguments)
        assert (settings.grace_s, settings.config) == (2.0, other)


def test_a_service_may_have_a_file_of_its_own(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its variable goes before everybody's."""
    config.write_text("[gateway]\ngrace_s = 1\n")
    other = tmp_path / "other.toml"
    other.write_text("[gateway]\ngrace_s = 2\n")
    monkeypatch.setenv("STEEPLE_GATEWAY_CONFIG", str(other))
    assert load_settings(GatewayLike, []).grace_s == 2.0


def test_sizes_in_the_file_are_written_as_people_do(config: Path) -> None:
    config.write_text('[gateway]\nmax_message_bytes = "8MiB"\n')
    assert load_settings(GatewayLike, []).max_message_bytes == 8 << 20


def test_what_is_printed_is_read_again_as_it_was(config: Path) -> None:
    """Texts with everything that TOML escapes; what is unset stays unset."""
    config.touch()
    before = load_settings(
        GatewayLike, ['--listen=unix:/t"\\ü🦊\n', "--engine=a:1", "--engine=b:2", "--no-reflection"]
    )
    config.write_text(printed(before))
    assert load_settings(GatewayLike, []) == before


def test_a_password_is_not_printed() -> None:
    settings = load_settings(GatewayLike, ["--otlp-endpoint=http://me:s3cret@host:4317"])
    assert 'otlp_endpoint = "http://***@host:4317"' in printed(settings)


def test_a_file_that_is_not_there_is_named(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever names a file means it: a missing one is never passed over."""
    told = refusal(capsys)
    assert told.status == USAGE_ERROR
    assert str(config) in told.stderr
    assert told.stderr.count("\n") == 1


def test_help_tells_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        load_settings(GatewayLike, ["--help"])
    assert caught.value.code == 0
    out = capsys.readouterr().out
    for name in GatewayLike.model_fields:
        assert f"--{name.replace('_', '-')}" in out

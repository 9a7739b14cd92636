"""Where `steeple serve` gets its options from, and which source wins."""

from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from steeple_cli.app import app
from steeple_cli.serving.plan import ServePlan
from steeple_cli.serving.serve import plan_of
from steeple_demo import model_dir


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STEEPLE_CONFIG", raising=False)


def planned(*arguments: str) -> ServePlan:
    """What would be served."""
    context = get_command(app).commands["serve"].make_context("serve", list(arguments))  # type: ignore[attr-defined] # a group
    return plan_of(context.params.pop("named"), context.params)


def told(*arguments: str) -> str:
    """How a start is refused: one line, status 2."""
    result = CliRunner().invoke(app, ["serve", *arguments])
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    return result.stderr


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "steeple.toml"


def test_the_command_line_beats_the_environment_beats_the_file(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config.write_text('[serve]\nport = 1\ngrace = 2\nlog_level = "error"\n[engine]\n')
    monkeypatch.setenv("STEEPLE_SERVE_PORT", "3")
    monkeypatch.setenv("STEEPLE_SERVE_GRACE", "4")
    plan = planned(f"--config={config}", "--port=5")
    assert (plan.listen, plan.grace_s, plan.log_level) == ("127.0.0.1:5", 4.0, "error")


def test_a_value_that_cannot_be_is_told_with_where_it_stands(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody looks into a file for an option that they did not type."""
    config.write_text('[serve]\nport = "x"\n')
    by_file = told(f"--config={config}")
    assert by_file.startswith(f"error: {config}: port of [serve]: Input should be a valid integer")
    monkeypatch.setenv("STEEPLE_SERVE_GRACE", "long")
    by_variable = told(f"--config={config}", "--port=5")
    assert by_variable.startswith("error: STEEPLE_SERVE_GRACE: Input should be a valid number")


def test_the_services_read_the_same_file(config: Path) -> None:
    """Their own tables of it."""
    config.write_text("[engine]\nmax_num_seqs = 2\n")
    assert planned("--config", str(config)).config == config


def test_the_environment_may_name_the_file(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config.write_text(f'[serve]\nmodel = "{model_dir()}"\nserved_model_name = "m"\n')
    monkeypatch.setenv("STEEPLE_CONFIG", str(config))
    plan = planned()
    assert (plan.model_dir, plan.model_name) == (model_dir().resolve(), "m")


def test_an_option_for_a_service_may_come_from_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("STEEPLE_SERVE_MAX_NUM_SEQS", "3")
    assert planned().arguments == {"engine": ["--max-num-seqs=3"]}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[serve]\nprot = 1\n", "[serve] has no key prot; did you mean port?"),
        ("[serve]\nmax_num_seqs = 1\n", "max_num_seqs of [serve] belongs into [engine]"),
        ("[srve]\n", "unknown table or key srve; known are [engine], [gateway], [serve]"),
        ("[serve\n", "it is not TOML"),
    ],
)
def test_what_is_wrong_in_the_file_is_one_line(config: Path, text: str, line: str) -> None:
    config.write_text(text)
    assert told(f"--config={config}").startswith(f"error: {config}: {line}")


def test_a_file_that_is_not_there_is_named() -> None:
    assert told("--config=/no/where.toml") == "error: /no/where.toml: No such file or directory\n"


def test_an_unknown_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEEPLE_SERVE_PROT", "1")
    line = "unknown variable STEEPLE_SERVE_PROT; did you mean STEEPLE_SERVE_PORT?"
    assert told() == f"error: {line}\n"


def test_a_word_that_is_none_of_a_few_is_told_with_them(config: Path) -> None:
    """And without the words of whatever checked it."""
    config.write_text('[serve]\nlog_level = "loud"\n')
    assert told(f"--config={config}") == (
        f"error: {config}: log_level of [serve]: 'loud' is not one of 'debug', 'info', 'warning',"
        " 'error'.\n"
    )


def test_a_command_tells_a_value_it_cannot_take_in_its_own_words() -> None:
    result = CliRunner().invoke(app, ["serve", "--log-level=loud"])
    assert result.exit_code == 2
    assert "'loud' is not one of" in result.stderr
    assert "Value error" not in result.stderr


@pytest.mark.parametrize(("command", "status"), [("serve", 2), ("demo", 1)])
def test_a_folder_that_is_gone_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, status: int
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    result = CliRunner().invoke(app, [command])
    assert (result.exit_code, result.stdout) == (status, "")
    assert result.stderr == (
        "error: the current folder cannot be read: No such file or directory: change to one that is"
        " there\n"
    )

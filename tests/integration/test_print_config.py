"""`steeple serve --print-config`: what would be started, as a file that asks for the same again."""

import socket
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from engine_svc.settings import EngineSettings
from gateway.settings import GatewaySettings
from steeple_demo import model_dir
from steeple_rpc.settings import load_settings
from tests.support.command import Serving, steeple

FLAGS = ("--max-num-seqs=3", "--metrics-port=0", "--gpu-memory-utilization=0.25", "--runner=fake")
ENVIRONMENT = {
    "STEEPLE_SERVE_GRACE": "7",
    "STEEPLE_GATEWAY_MAX_TAKEOVERS": "1",
    "STEEPLE_TOKENIZER_NUM_THREADS": "3",
    "VLLM_SPYRE_NUM_CPUS": "1",
}
FILE = '[serve]\nlog_level = "error"\n[engine]\nmax_num_seqs = 9\ndefault_max_tokens = "2k"\n'


def printed(*arguments: str, environment: Mapping[str, str] | None = None) -> str:
    """The file; fails unless that is all that is told."""
    done = steeple("serve", "--print-config", *arguments, environment=environment)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What was printed, asked for in every way at once."""
    folder = tmp_path_factory.mktemp("config")
    (folder / "given.toml").write_text(FILE)
    arguments = (str(model_dir()), f"--config={folder}/given.toml", *FLAGS)
    made = folder / "printed.toml"
    made.write_text(printed(*arguments, environment=ENVIRONMENT))
    return made


@pytest.fixture(scope="module")
def tables(file: Path) -> Mapping[str, Any]:
    """What the file says."""
    return tomllib.loads(file.read_text())


def test_every_place_that_a_setting_came_from_is_in_the_file(tables: Mapping[str, Any]) -> None:
    """The command line beats the given file's max_num_seqs; it goes to the service it is for."""
    assert list(tables) == ["serve", "gateway", "tokenizer", "engine"]
    serve, engine = tables["serve"], tables["engine"]
    assert (serve["model"], serve["metrics_port"]) == (str(model_dir()), 0)
    assert (serve["grace"], serve["log_level"]) == (7.0, "error")
    assert (engine["max_num_seqs"], engine["default_max_tokens"]) == (3, 2000)
    assert (engine["kv_cache_share"], engine["runner"]) == (0.25, "fake")
    assert engine["num_threads"] == 1
    assert tables["gateway"]["max_takeovers"] == 1
    assert tables["tokenizer"]["num_threads"] == 3


def test_what_is_settled_by_serve_is_told_and_not_asked_for(
    file: Path, tables: Mapping[str, Any]
) -> None:
    lines = file.read_text().splitlines()
    assert f'# model = ["model={model_dir()}"]' in lines
    assert '# engine = ["unix:DIRECTORY/engine"]' in lines
    assert lines.count("# grace_s = 7.0") == 3
    assert lines.count('# metrics_listen = "127.0.0.1:0"') == 3
    assert "model" not in tables["tokenizer"].keys() | tables["engine"].keys()


def test_the_file_alone_asks_for_the_same(file: Path) -> None:
    """Without the flags, the variables and the file that it came from."""
    assert printed(f"--config={file}") == file.read_text()


def test_the_services_take_their_tables(file: Path, tables: Mapping[str, Any]) -> None:
    """By themselves, too."""
    engine = load_settings(EngineSettings, [f"--config={file}", "--model=/m"])
    assert (engine.max_num_seqs, engine.kv_cache_share) == (3, 0.25)
    gateway = load_settings(GatewaySettings, [f"--config={file}"])
    assert gateway.max_takeovers == tables["gateway"]["max_takeovers"]


def test_what_is_printed_is_what_serves(file: Path) -> None:
    """In the words of the service itself: three requests at once, by the model's name."""
    serving = Serving(f"--config={file}")
    line = serving.line()
    status, stderr = serving.stop()
    assert line.startswith("serving model (")
    assert "metrics on 127.0.0.1:" in line
    assert (status, stderr) == (0, "")


@pytest.fixture
def taken_port() -> Iterator[int]:
    """A loopback port that somebody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield taken.getsockname()[1]


def test_nothing_is_started_where_nothing_could_be(taken_port: int) -> None:
    """The port is taken, and there is no such certificate: neither is looked at."""
    told = printed(f"--port={taken_port}", "--tls-cert=/no/cert.pem", "--tls-key=/no/key.pem")
    assert f"port = {taken_port}\n" in told
    assert 'tls_cert = "/no/cert.pem"\n' in told


def test_a_password_in_an_address_is_masked() -> None:
    told = printed("--otlp-endpoint=http://me:s3cret@host:4317")
    assert told.count('\notlp_endpoint = "http://***@host:4317"\n') == 3
    assert "s3cret" not in told


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--gpu-memory-utilization=7"], "error: --gpu-memory-utilization: Input should be"),
        (["--grace=-1"], "error: --grace: Input should be greater"),
        (["--join=wait"], "error: --join"),
        (["org/no-such-model"], "error: no model at org/no-such-model"),
    ],
)
def test_what_could_not_start_is_refused_in_the_words_that_were_typed(
    arguments: list[str], line: str
) -> None:
    done = steeple("serve", "--print-config", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(line)
    assert done.stderr.count("\n") == 1

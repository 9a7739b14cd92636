"""What `steeple serve` cannot start with: one line that names it and the remedy, status 2."""

import json
import math
import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from steeple_demo import model_dir
from tests.support.command import Serving, steeple
from tests.support.ports import free_port
from tests.support.refused_start import refused_start
from tests.support.safetensors_bytes import write_safetensors
from tests.support.waiting import eventually

HANGS = {"STEEPLE_ENGINE_FAKE_FAILURE": "hang", "STEEPLE_ENGINE_FAKE_FAILURE_STEP": "0"}
"""For the environment: the core's warm-up has no end."""


@pytest.fixture
def taken_port() -> Iterator[int]:
    """A loopback port that somebody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield taken.getsockname()[1]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A copy of the demo model, to break."""
    return Path(shutil.copytree(model_dir(), tmp_path / "model"))


def refusal(*arguments: str, environment: dict[str, str] | None = None) -> str:
    """The only line of a start that is refused."""
    done = steeple("serve", *arguments, environment=environment)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("error: ")
    return done.stderr.removeprefix("error: ").rstrip("\n")


def test_a_taken_port_is_named(taken_port: int) -> None:
    assert refusal(f"--port={taken_port}", "--runner=fake") == (
        f"cannot listen on 127.0.0.1:{taken_port}: another process listens there: end it, or choose"
        " another port (--host, --port)"
    )


def test_a_taken_port_of_metrics_is_named(taken_port: int) -> None:
    told = refusal(f"--port={free_port()}", f"--metrics-port={taken_port}", "--runner=fake")
    assert told == (
        f"cannot serve metrics on 127.0.0.1:{taken_port}: another process listens there: end it, or"
        " choose another port (--metrics-port)"
    )


def test_a_host_that_nobody_knows_is_named() -> None:
    told = refusal("--host=host.invalid", "--insecure-bind", "--runner=fake")
    assert "cannot listen on host.invalid:50051: there is no host of that name" in told


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--tls-cert=/no/cert.pem", "--tls-key=/no/key.pem"], "/no/cert.pem: No such file"),
        (["--ssl-certfile=/no/cert.pem"], "--ssl-certfile and --tls-key are given together"),
        (["--token-hashes=/no/tokens"], "token hashes /no/tokens: No such file"),
        (["--config=/no/file.toml"], "/no/file.toml: No such file"),
        (["org/no-such-model"], "no model at org/no-such-model: pass a directory, or an org/name"),
    ],
)
def test_a_file_that_is_not_there_is_named(arguments: list[str], told: str) -> None:
    assert told in refusal(f"--port={free_port()}", "--runner=fake", *arguments)


def test_a_misspelt_model_of_the_cache_is_told_with_those_like_it(tmp_path: Path) -> None:
    (tmp_path / "models--ibm-granite--granite-3b").mkdir()
    told = refusal("ibm-granite/granite-3", environment={"HF_HUB_CACHE": str(tmp_path)})
    assert "did you mean ibm-granite/granite-3b, which it has?" in told
    gated = refusal("ibm-granite/granite-3b", "--download-dir", str(tmp_path))
    assert "if it is gated, accept its terms on its page and log in with `hf auth login`" in gated


def test_a_temporary_directory_too_long_for_sockets_is_named(tmp_path: Path) -> None:
    long = tmp_path / ("d" * 90)
    long.mkdir()
    told = refusal(environment={"TMPDIR": str(long)})
    assert told.endswith("set TMPDIR to a shorter one")


def test_pickle_alone_is_refused_with_how_to_convert_it(model: Path) -> None:
    (model / "model.safetensors").rename(model / "pytorch_model.bin")
    told = refusal(str(model), f"--port={free_port()}")
    assert told.startswith("pytorch_model.bin: pickle weights run code when opened")
    assert "save_pretrained" in told


def test_a_context_that_does_not_fit_is_told_with_what_would(model: Path) -> None:
    """Whoever follows either remedy serves."""
    given = {"--max-model-len": "1024", "--kv-cache-bytes": "100KiB", "--max-num-seqs": "1"}
    told = refusal(str(model), f"--port={free_port()}", *_typed(given))
    found = re.search(r"(--max-model-len) to (\d+), or raise (--kv-cache-bytes) to (\S+)$", told)
    assert found is not None, told
    for remedy in ({found[1]: found[2]}, {found[3]: found[4]}):
        serving = Serving(str(model), *_typed(given | remedy))
        try:
            assert serving.line().startswith("serving model (")
        finally:
            assert serving.stop() == (0, "")


def _typed(options: dict[str, str]) -> list[str]:
    return [f"{name}={value}" for name, value in options.items()]


def test_weights_that_no_memory_holds_are_refused_unread(model: Path) -> None:
    """256 GiB of a file that is one hole: it takes no room on the disk."""
    config = json.loads((model / "config.json").read_text())
    vocab_size = 1 << 29
    (model / "config.json").write_text(json.dumps(config | {"vocab_size": vocab_size}))
    _grow_embedding(model / "model.safetensors", [vocab_size, config["hidden_size"]])
    told = refused_start(model)
    assert re.search(r"the weights need 256\.0 GiB as float32, and [\d.]+ GiB of memory are", told)
    assert told.endswith("free memory, or serve a smaller model")


def _grow_embedding(path: Path, shape: list[int]) -> None:
    """Rewrite a checkpoint as a hole of the right size under a sound header."""
    with path.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    header.pop("__metadata__", None)
    header["model.embed_tokens.weight"]["shape"] = shape
    begin = 0
    for tensor in header.values():
        end = begin + math.prod(tensor["shape"]) * 4
        tensor["data_offsets"] = [begin, end]
        begin = end
    write_safetensors(path, header, data_bytes=0)
    os.truncate(path, path.stat().st_size + begin)


def test_ctrl_c_while_loading_ends_everything_at_once() -> None:
    """Cleanly, and long before the grace, which is for requests. It would load for ever."""
    serving = Serving("--grace=60", "--startup-timeout=60", "--runner=fake", environment=HANGS)
    eventually(lambda: len(serving.children()) >= 4, lambda: "the core never began")
    children = serving.children()
    serving.process.send_signal(signal.SIGINT)
    try:
        stdout, stderr = serving.process.communicate(timeout=30)
    except subprocess.TimeoutExpired:
        serving.process.kill()
        raise
    assert (serving.process.returncode, stdout, stderr) == (0, "", "")
    assert psutil.wait_procs(children, timeout=10)[1] == []

"""`steeple doctor` on model directories: what works, what does not, and how to mend it."""

import io
import json
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from steeple_cli.app import app
from steeple_cli.connecting.remedies import remedy_for, told_with_remedy
from steeple_cli.doctoring.finding import fail, ok, warn
from steeple_cli.doctoring.report import print_findings
from steeple_demo import model_dir
from steeple_rpc.errors import (
    InvalidRequest,
    ServiceError,
    Unauthenticated,
    Unavailable,
    Unsupported,
)
from tests.support.models import edit_config

NO_TORCH = """
import sys
from steeple_cli.app import app
try:
    app(["doctor", "--json"])
except SystemExit as end:
    print(end.code, sorted({"fms", "torch", "transformers"} & sys.modules.keys()))
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return Path(shutil.copytree(model_dir(), tmp_path / "model"))


def doctored(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["doctor", *map(str, arguments)])


def findings(*arguments: object, exit_code: int = 0) -> dict[str, Any]:
    """The last finding about each thing."""
    result = doctored(*arguments, "--json")
    assert result.exit_code == exit_code, result.stdout + result.stderr
    told = json.loads(result.stdout)
    assert told["ok"] is (exit_code == 0)
    return {finding["about"]: finding for finding in told["findings"]}


def test_the_demo_model_is_well() -> None:
    found = findings()
    assert {one["level"] for one in found.values()} <= {"ok", "warn"}
    weights, memory = found["weights"]["facts"], found["memory"]["facts"]
    assert (weights["runner"], weights["device"], weights["dtype"]) == ("fms", "cpu", "float32")
    assert memory["kv_cache_bytes"] == memory["kv_tokens"] * weights["kv_bytes_per_token"]
    assert memory["kv_tokens"] == memory["num_blocks"] * memory["block_size"]
    assert found["configuration"]["facts"]["model_max_len"] == memory["max_model_len"] == 1024
    assert found["chat template"]["level"] == "ok"


def test_the_options_of_serve_count(directory: Path) -> None:
    found = findings(
        directory, "--dtype=bfloat16", "--max-model-len=512", "--max-num-seqs=2", "--num-threads=7"
    )
    assert found["weights"]["facts"]["dtype"] == "bfloat16"
    assert found["memory"]["facts"]["max_concurrency"] == 2.0
    assert found["memory"]["facts"]["kv_tokens"] == 1024
    assert found["machine"]["facts"]["num_threads"] == 7


def test_a_context_that_memory_shrinks_is_a_warning(directory: Path) -> None:
    found = findings(directory, "--kv-cache-bytes=96KiB")
    assert found["memory"]["level"] == "warn"
    assert "at most 64 tokens, of the 1,024" in found["memory"]["told"]
    assert "--kv-cache-bytes" in found["memory"]["remedy"]


def test_memory_that_is_too_small_fails_as_the_engine_would(directory: Path) -> None:
    found = findings(directory, "--kv-cache-bytes=96KiB", "--max-model-len=512", exit_code=1)
    assert found["memory"]["level"] == "fail"
    assert "one request of 512 tokens needs" in found["memory"]["told"]
    assert "lower --max-model-len to 64" in found["memory"]["told"]


def test_a_field_that_would_be_computed_wrongly_is_named(directory: Path) -> None:
    edit_config(directory, attn_logit_softcapping=30.0)
    found = findings(directory, exit_code=1)
    assert found["weights"]["told"].startswith("config.json: attn_logit_softcapping = 30.0")
    assert found["tokenizer"]["level"] == "ok"


def test_code_of_the_directory_is_refused_and_never_run(directory: Path) -> None:
    trap = directory / "modeling_trap.py"
    trap.write_text(f"open({str(directory / 'sprung')!r}, 'w')")
    edit_config(directory, auto_map={"AutoModelForCausalLM": "modeling_trap.Trap"})
    found = findings(directory, exit_code=1)
    assert "auto_map" in found["weights"]["told"]
    assert not (directory / "sprung").exists()


def test_missing_weights_are_named(directory: Path) -> None:
    (directory / "model.safetensors").unlink()
    assert "model.safetensors" in findings(directory, exit_code=1)["weights"]["told"]


def test_pickles_beside_the_weights_are_told(directory: Path) -> None:
    (directory / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    result = doctored(directory)
    assert result.exit_code == 0
    assert "pytorch_model.bin: pickle files run code" in " ".join(result.stdout.split())


def test_a_tokenizer_that_is_missing_fails(directory: Path) -> None:
    (directory / "tokenizer.json").unlink()
    found = findings(directory, exit_code=1)
    assert "tokenizer.json" in found["tokenizer"]["told"]
    assert found["memory"]["level"] == "ok"


@pytest.mark.parametrize(
    ("template", "about", "level", "told"),
    [
        ("{% endfor %}", "tokenizer", "fail", "template"),
        ("{{ raise_exception('no') }}", "chat template", "warn", "greeting"),
        (None, "chat template", "warn", "Chat is refused"),
    ],
    ids=["broken", "raises", "none"],
)
def test_a_chat_template_is_tried(
    directory: Path, template: str | None, about: str, level: str, told: str
) -> None:
    path = directory / "tokenizer_config.json"
    config = json.loads(path.read_text())
    config.pop("chat_template", None)
    (directory / "chat_template.jinja").unlink(missing_ok=True)
    if template is not None:
        config["chat_template"] = template
    path.write_text(json.dumps(config))
    found = findings(directory, exit_code=1 if level == "fail" else 0)[about]
    assert (found["level"], told in found["told"]) == (level, True)


def test_a_model_that_is_nowhere_fails_with_where_it_was_looked_for(tmp_path: Path) -> None:
    found = findings("org/none", f"--hub-cache={tmp_path}", exit_code=1)
    assert str(tmp_path) in found["files"]["told"]


def test_a_port_in_use_is_a_warning() -> None:
    """`steeple serve` would be refused there."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        found = findings(f"--port={port}")["port"]
    assert (found["level"], str(port) in found["told"]) == ("warn", True)


def test_a_setting_that_is_wrong_is_a_usage_error(capfd: pytest.CaptureFixture[str]) -> None:
    result = doctored("--dtype=float8")
    assert result.exit_code == 2
    assert "--dtype" in result.stderr + capfd.readouterr().err


def test_a_look_needs_no_torch() -> None:
    out = subprocess.run(
        [sys.executable, "-c", NO_TORCH], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    assert out.splitlines()[-1] == "0 []"


def test_nothing_but_words_longer_than_a_line_leaves_the_terminal() -> None:
    shown = io.StringIO()
    console = Console(width=60, file=shown, markup=False, highlight=False)
    told = [ok("a", "x " * 60), warn("b", "short", "y " * 60), fail("c", "z" * 80)]
    print_findings(told, console)
    lines = shown.getvalue().splitlines()
    assert all(len(line) <= 60 for line in lines if "zzz" not in line)
    assert lines[-1] == "1 of 3 fail"


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (Unauthenticated("no token", reason="TOKEN_MISSING"), "--token-file"),
        (Unauthenticated("who?", reason="OTHER"), "--token-file"),
        (Unavailable("failed to connect: Connection refused"), "steeple serve"),
        (Unavailable("SSL_ERROR_SSL: WRONG_VERSION_NUMBER"), "drop --tls"),
        (Unavailable("Ssl handshake failed: CERTIFICATE_VERIFY_FAILED"), "--tls-ca"),
        (Unavailable("Socket closed"), "--tls"),
        (Unsupported("Method not found!"), "older"),
    ],
    ids=lambda value: value.message if isinstance(value, ServiceError) else "",
)
def test_trouble_on_the_way_has_a_remedy(error: ServiceError, told: str) -> None:
    assert told in remedy_for(error)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            Unavailable("refused"),
            f"UNAVAILABLE: refused → {remedy_for(Unavailable('refused'))}",
        ),
        (
            Unauthenticated("who?", reason="TOKEN_MISSING"),
            "UNAUTHENTICATED TOKEN_MISSING: who? → pass --token-file or STEEPLE_TOKEN",
        ),
        (
            InvalidRequest("top_k is 2", reason="OUT_OF_RANGE"),
            "INVALID_ARGUMENT OUT_OF_RANGE: top_k is 2",
        ),
    ],
    ids=lambda value: value.reason if isinstance(value, ServiceError) else "",
)
def test_a_failed_call_is_one_line_with_what_helps(error: ServiceError, line: str) -> None:
    """Nothing is said twice, and nothing is advised where the message says all."""
    assert told_with_remedy(error) == line

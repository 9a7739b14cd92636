"""The programs of examples/python and examples/shell, run as their readers run them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory

from steeple.engine.v1 import engine_service_pb2_grpc
from tests.support.cluster import is_idle
from tests.support.deployment import ROOT, TIMEOUT_S, Deployment
from tests.support.waiting import eventually

EXAMPLES = ROOT / "examples"
BUF = Path(sys.executable).parent / "buf"
DESCRIPTORS = ROOT / "protos" / "steeple" / "descriptors.binpb"
# grpcurl's own, and whether they take a value.
GRPCURL_FLAGS = {"-plaintext": False, "-protoset": True, "-d": True, "-max-time": True}


def run(
    command: list[str], *, target: str, **environment: str
) -> "subprocess.CompletedProcess[str]":
    """The program's end."""
    paths = os.pathsep.join([str(ROOT), str(ROOT / "protos")])
    given = {"PYTHONPATH": paths, "STEEPLE_TARGET": target, **environment}
    return subprocess.run(
        command,
        env={**os.environ, **given},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


def run_python(script: str, *arguments: str, target: str) -> "subprocess.CompletedProcess[str]":
    """A program of examples/python."""
    return run([sys.executable, str(EXAMPLES / "python" / script), *arguments], target=target)


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("chat.py", "4\n(2 tokens)\n"),
        ("first_of_two.py", "4\n"),
        ("bare_stubs.py", "4\n"),
    ],
)
def test_a_python_example_prints_the_answer(real: Deployment, script: str, told: str) -> None:
    done = run_python(script, "What is 2+2?", target=real.target)
    assert (done.stdout, done.returncode) == (told, 0), done.stderr


@pytest.mark.parametrize("script", ["chat.py", "bare_stubs.py"])
def test_a_python_example_tells_the_reason_of_a_refusal(real: Deployment, script: str) -> None:
    """A conversation that fits no context."""
    done = run_python(script, "a " * 10_000, target=real.target)
    assert done.returncode == 1
    assert done.stderr.startswith("PROMPT_TOO_LONG: "), done.stderr


def test_the_example_that_leaves_a_request_frees_the_engine(
    fake: Deployment, engine_stub: engine_service_pb2_grpc.EngineServiceStub
) -> None:
    done = run_python("first_of_two.py", "hello", target=fake.target)
    assert done.returncode == 0, done.stderr
    eventually(lambda: is_idle(engine_stub))


def test_the_buf_curl_example_calls_everything(real: Deployment) -> None:
    """Services by reflection; health; models, an answer and a stream by the descriptor set."""
    script = str(EXAMPLES / "shell" / "buf_curl.sh")
    done = run(["bash", script], target=real.target, BUF=str(BUF))
    assert done.returncode == 0, done.stderr
    parts = dict(part.split("\n", 1) for part in done.stdout.split("# ")[1:])
    assert "steeple.inference.v1.ModelService" in parts["services, by reflection"]
    assert json.loads(parts["health"]) == {"status": "SERVING"}
    assert json.loads(parts["models"])["models"][0]["name"] == "demo"
    assert json.loads(parts["a whole answer"])["outputs"][0]["text"] == "4"
    assert '"usage"' in parts["a stream"]


def test_the_grpcurl_example_asks_what_the_contract_has(real: Deployment, tmp_path: Path) -> None:
    """There is no grpcurl to install here: a stand-in writes down how it would be called.

    Each call's flags are grpcurl's, its method and its request are the contract's, and `buf curl`
    gets an answer to the same call.
    """
    calls = grpcurl_calls(real.target, tmp_path)
    assert len(calls) == 5
    (_, first), *others = calls
    assert first == "list"
    for data, symbol in others:
        assert_fits(symbol, data)
        done = run(
            [
                *(str(BUF), "curl", "--protocol", "grpc", "--http2-prior-knowledge"),
                *("--schema", str(DESCRIPTORS), "--data", data),
                f"http://{real.target}/{symbol}",
            ],
            target=real.target,
        )
        assert done.returncode == 0, done.stderr


def grpcurl_calls(target: str, folder: Path) -> list[tuple[str, str]]:
    """The request and the symbol of each call of the script; flags and address are looked at."""
    stand_in = folder / "grpcurl"
    stand_in.write_text(
        f"#!{sys.executable}\nimport json, sys\n"
        f"open({str(folder / 'calls')!r}, 'a').write(json.dumps(sys.argv[1:]) + '\\n')\n"
    )
    stand_in.chmod(0o755)
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    done = run(["bash", str(EXAMPLES / "shell" / "grpcurl.sh")], target=target, PATH=path)
    assert done.returncode == 0, done.stderr
    return [
        _parsed(json.loads(line), target) for line in (folder / "calls").read_text().splitlines()
    ]


def _parsed(arguments: list[str], target: str) -> tuple[str, str]:
    rest, values = list(arguments), {"-d": "{}"}
    while rest[0].startswith("-"):
        flag = rest.pop(0)
        values[flag] = rest.pop(0) if GRPCURL_FLAGS[flag] else ""
    assert "-plaintext" in values
    assert Path(values.get("-protoset", DESCRIPTORS)).samefile(DESCRIPTORS)
    address, symbol = rest
    assert address == target
    return values["-d"], symbol


def assert_fits(symbol: str, data: str) -> None:
    """The method is in the descriptor set, and the data is a request of it."""
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(DESCRIPTORS.read_bytes()).file:
        pool.Add(file)
    service, method = symbol.split("/")
    request = pool.FindServiceByName(service).methods_by_name[method].input_type
    json_format.Parse(data, message_factory.GetMessageClass(request)(), descriptor_pool=pool)

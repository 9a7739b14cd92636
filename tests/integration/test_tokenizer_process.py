"""The tokenizer service as a real process: start, refusal, drain."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from steeple.tokenizer.v1 import detokenize_pb2 as detok
from steeple.tokenizer.v1 import tokenizer_service_pb2 as pb
from steeple.tokenizer.v1 import tokenizer_service_pb2_grpc as pb_grpc
from steeple_rpc.channel import open_sync_channel
from tests.support.tokenizers import write_model

TIMEOUT_S = 30.0


def started(*arguments: str) -> "subprocess.Popen[str]":
    """The service, with both outputs captured."""
    command = [sys.executable, "-m", "tokenizer_svc", *arguments]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([".", "protos"])}
    return subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def process(tmp_path: Path) -> "Iterator[subprocess.Popen[str]]":
    model = write_model(tmp_path / "m")
    options = ["--listen", "127.0.0.1:0", "--log-format", "json"]
    running = started("--model", f"served={model}", *options)
    try:
        yield running
    finally:
        running.kill()
        running.communicate()


def address_of(process: "subprocess.Popen[str]") -> str:
    """From the line that tells it."""
    assert process.stderr is not None
    for line in process.stderr:
        event = json.loads(line)
        if event["event"] == "serving":
            return str(event["address"])
    raise AssertionError("the service ended without serving")


def test_it_serves_drains_and_prints_nothing(process: "subprocess.Popen[str]") -> None:
    """SIGTERM with a live session: the gateway is told, the session ends, then the process."""
    with open_sync_channel(address_of(process)) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        watch = health.Watch(health_pb2.HealthCheckRequest(), timeout=TIMEOUT_S)
        serving = health_pb2.HealthCheckResponse.SERVING
        assert any(reply.status == serving for reply in watch)
        watch.cancel()
        stub = pb_grpc.TokenizerServiceStub(channel)
        inputs = [pb.EncodeInput(text="hello 你好", add_special_tokens=False)]
        encoded = stub.Encode(pb.EncodeRequest(model="served", inputs=inputs), timeout=TIMEOUT_S)
        ids = encoded.results[0].prompt.ids
        requests: SimpleQueue[detok.DetokenizeRequest | None] = SimpleQueue()
        responses: Any = stub.Detokenize(iter(requests.get, None), timeout=TIMEOUT_S)
        opening = detok.SessionCommand(session=1, open=detok.OpenSession(model="served"))
        requests.put(detok.DetokenizeRequest(commands=[opening, push(0, ids[:1])]))
        updates = [*next(responses).updates]
        process.send_signal(signal.SIGTERM)
        told = next(responses)
        assert told.draining
        requests.put(detok.DetokenizeRequest(commands=[push(1, ids[1:], final=True)]))
        requests.put(None)
        updates += [update for response in responses for update in response.updates]
    assert "".join(update.text for update in updates) == "hello 你好"
    stdout, _ = process.communicate(timeout=TIMEOUT_S)
    assert (process.returncode, stdout) == (0, "")


def push(at: int, ids: Sequence[int], *, final: bool = False) -> detok.SessionCommand:
    """Ids of session 1."""
    pushed = detok.PushTokens(first_position=at, ids=ids, final=final)
    return detok.SessionCommand(session=1, push=pushed)


@pytest.mark.parametrize("content", [None, "{"])
def test_a_wrong_directory_ends_it_with_one_line(tmp_path: Path, content: str | None) -> None:
    """Status 2, the file's name on stderr, nothing on stdout."""
    model = write_model(tmp_path / "m")
    (model / "tokenizer.json").unlink()
    if content is not None:
        (model / "tokenizer.json").write_text(content)
    process = started("--model", str(model), "--listen", "127.0.0.1:0")
    stdout, stderr = process.communicate(timeout=TIMEOUT_S)
    assert (process.returncode, stdout, stderr.count("\n")) == (2, "", 1)
    assert str(model / "tokenizer.json") in stderr


def test_a_taken_address_ends_it_with_one_line(
    process: "subprocess.Popen[str]", tmp_path: Path
) -> None:
    """Two services never share a port."""
    address = address_of(process)
    other = started("--model", str(tmp_path / "m"), "--listen", address)
    _, stderr = other.communicate(timeout=TIMEOUT_S)
    assert other.returncode == 2
    assert stderr.splitlines()[-1].startswith(f"error: cannot listen on {address}")

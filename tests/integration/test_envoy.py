"""HTTP and JSON through a real Envoy with the shipped configuration, down to the engine."""

import json
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from steeple.engine.v1 import engine_service_pb2_grpc
from steeple_client import Client
from steeple_rpc.auth.token_table import TokenRecord, digest_of, new_token, record_text
from steeple_rpc.errors import InvalidRequest, Unavailable
from steeple_rpc.principal import Principal
from tests.support.cluster import is_idle, load_of
from tests.support.deployment import TIMEOUT_S, Deployment
from tests.support.envoy import Envoy, needs_envoy
from tests.support.lone_engine import core_of
from tests.support.waiting import eventually

Stub = engine_service_pb2_grpc.EngineServiceStub
pytestmark = needs_envoy
LONG = {"text": "hello world", "stopping": {"max_tokens": 900, "ignore_eos": True}}
QUESTION = {"messages": [{"role": "ROLE_USER", "parts": [{"text": "What is 2+2?"}]}]}
HALF = 450
"""Of the 900 tokens of an answer that nobody leaves; 25 ms each where it is left."""


@pytest.fixture(scope="module")
def front(slow: Deployment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Envoy]:
    """In front of the slow engine's gateway."""
    with Envoy(slow.target, tmp_path_factory.mktemp("front")) as envoy:
        yield envoy


@pytest.fixture(scope="module")
def web(real: Deployment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Envoy]:
    """In front of the demo model's gateway."""
    with Envoy(real.target, tmp_path_factory.mktemp("web")) as envoy:
        yield envoy


def test_a_conversation_is_answered_as_json(web: Envoy) -> None:
    """Fields are named as in the .proto files."""
    answer = web.call("POST", "/v1/chat", QUESTION)
    assert answer.status == 200
    (output,) = answer.json["outputs"]
    assert output["message"]["parts"] == [{"text": "4"}]
    assert output["finish_reason"] == "FINISH_REASON_EOS"
    assert answer.json["usage"]["completion_tokens"] == 2


def test_a_stream_is_a_line_per_event(web: Envoy) -> None:
    """Started, the 4, finished, usage."""
    answer = web.call("POST", "/v1/chat:stream", QUESTION)
    kinds = [next(iter(line)) for line in answer.lines]
    assert kinds[0] == "started"
    assert kinds[-2:] == ["finished", "usage"]
    text = "".join(line.get("delta", {}).get("text", "") for line in answer.lines)
    assert (answer.status, text) == (200, "4")


def test_the_load_is_told_once_and_again(front: Envoy) -> None:
    answer = front.call("GET", "/v1/load")
    assert answer.status == 200
    (engine,) = answer.json["load"]["engines"]
    assert engine["runner"] == "fake"
    with front.calling("GET", "/v1/load:stream?interval_ms=100") as response:
        for _ in range(2):
            assert json.loads(response.readline())["load"]["models"]


def test_lines_come_while_the_engine_computes(front: Envoy, slow_stub: Stub) -> None:
    """The proxy gathers nothing: the first text is there when most is still to be made."""
    with front.calling("POST", "/v1/generate:stream", LONG) as response:
        while "delta" not in json.loads(response.readline()):
            pass
        assert load_of(slow_stub).num_running == 1
    eventually(lambda: is_idle(slow_stub))


def test_the_models_are_told_by_list_page_and_name(web: Envoy) -> None:
    (listed,) = web.call("GET", "/v1/models?page_size=1").json["models"]
    told = web.call("GET", "/v1/models/demo").json["model"]
    assert listed["name"] == told["name"] == "demo"
    assert told["max_model_len"] == 1024


@pytest.mark.parametrize("path", ["org/name", "org%2Fname"])
def test_a_name_with_a_slash_reaches_the_gateway_as_one_name(web: Envoy, path: str) -> None:
    """It is unknown as a model, not as a path."""
    answer = web.call("GET", f"/v1/models/{path}")
    assert answer.status == 404
    assert answer.json["details"][0]["reason"] == "MODEL_NOT_FOUND"


def test_texts_become_ids_and_texts_again(web: Envoy) -> None:
    inputs = {"inputs": [{"text": "What is 2+2?"}]}
    (result,) = web.call("POST", "/v1/tokenize", inputs).json["results"]
    (back,) = web.call("POST", "/v1/detokenize", {"inputs": [result["tokens"]]}).json["results"]
    assert back["text"] == "What is 2+2?"


def test_a_refusal_of_the_gateway_is_json_with_its_details(web: Envoy) -> None:
    """Code, message, reason and field; the HTTP status fits the code."""
    answer = web.call("POST", "/v1/generate", {"text": "a", "stopping": {"max_tokens": 0}})
    assert (answer.status, answer.json["code"]) == (400, 3)
    info, bad = answer.json["details"]
    assert info["reason"] == "OUT_OF_RANGE"
    assert bad["field_violations"][0]["field"] == "stopping.max_tokens"
    assert answer.json["message"] == bad["field_violations"][0]["description"]


def test_a_stream_that_is_refused_has_the_status_of_its_refusal(web: Envoy) -> None:
    answer = web.call("POST", "/v1/generate:stream", {"text": "a", "stopping": {"max_tokens": 0}})
    assert (answer.status, answer.json["code"]) == (400, 3)


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("POST", "/v1/generate", '{"text": ', 400, 3),
        ("POST", "/v1/nothing", {}, 404, 5),
        ("GET", "/v1/generate", None, 404, 5),
        ("GET", "/v1/models?size=1", None, 400, 3),
        ("POST", "/v1/embed", {"inputs": [{"text": "a"}]}, 501, 12),
    ],
)
def test_what_the_proxy_refuses_has_the_same_form(
    web: Envoy, method: str, path: str, body: object, status: int, code: int
) -> None:
    """JSON that ends early, unknown paths, methods and parameters, and what is not built."""
    answer = web.call(method, path, body)
    assert (answer.status, answer.json["code"]) == (status, code)
    assert answer.json["message"]


def test_what_the_contract_does_not_know_counts_as_unset(web: Envoy) -> None:
    """A fact of Envoy's, told in deploy/envoy/README.md; `started` tells what was used."""
    answer = web.call("POST", "/v1/generate", {"text": "What is 2+2?", "max_tokens": 1})
    assert answer.status == 200
    assert answer.json["started"]["stopping"]["max_tokens"] > 1


def test_large_requests_and_answers_pass(web: Envoy) -> None:
    """A request of 3 MB is judged by the gateway, and an answer of more than 64 KiB is whole."""
    refused = web.call("POST", "/v1/generate", {"text": "a " * 1_500_000})
    assert refused.json["details"][0]["reason"] == "PROMPT_TOO_LONG"
    details = {"output": {"token_details": True, "logprobs": 10}}
    answer = web.call("POST", "/v1/generate", {**LONG, **details})
    assert len(answer.text) > 1 << 16
    assert len(answer.json["outputs"][0]["tokens"]) == 900


def test_what_is_too_large_for_the_gateway_is_refused_as_json(web: Envoy) -> None:
    answer = web.call("POST", "/v1/generate", {"text": "a " * 2_500_000})
    assert (answer.status, answer.json["code"]) == (429, 8)


def test_a_caller_that_disconnects_frees_the_engine(front: Envoy, slow_stub: Stub) -> None:
    before = load_of(slow_stub).num_output_tokens
    with front.calling("POST", "/v1/generate:stream", LONG) as response:
        while "delta" not in json.loads(response.readline()):
            pass
    eventually(lambda: is_idle(slow_stub))
    assert load_of(slow_stub).num_output_tokens - before < HALF


def test_a_caller_that_leaves_an_answer_unmade_frees_the_engine(
    front: Envoy, slow_stub: Stub
) -> None:
    """The whole answer would be one reply; nothing of it was sent yet."""
    before = load_of(slow_stub).num_output_tokens
    body = json.dumps(LONG).encode()
    head = f"POST /v1/generate HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", front.port), timeout=TIMEOUT_S) as caller:
        caller.sendall(head + body)
        eventually(lambda: load_of(slow_stub).num_running == 1)
    eventually(lambda: is_idle(slow_stub))
    assert load_of(slow_stub).num_output_tokens - before < HALF


def test_a_deadline_in_a_header_ends_the_work_at_the_engine(front: Envoy, slow_stub: Stub) -> None:
    """`grpc-timeout`, as gRPC callers send it: 300 ms are a fraction of 900 steps."""
    before = load_of(slow_stub).num_output_tokens
    answer = front.call("POST", "/v1/generate", LONG, grpc_timeout="300m")
    assert (answer.status, answer.json["code"]) == (504, 4)
    eventually(lambda: is_idle(slow_stub))
    assert load_of(slow_stub).num_output_tokens - before < HALF


def test_native_grpc_passes_through_the_same_port(web: Envoy) -> None:
    """Answers, streams, refusals with their details, and health."""
    with Client(web.target) as client:
        client.wait_until_ready(TIMEOUT_S)
        assert client.generate("What is 2+2?", max_tokens=1).text == "4"
        assert list(client.generate_stream("What is 2+2?", max_tokens=1))
        with pytest.raises(InvalidRequest) as refused:
            client.generate("a", max_tokens=0)
    assert refused.value.field == "stopping.max_tokens"


def test_a_token_in_a_header_reaches_the_gateway(demo_dir: Path, tmp_path: Path) -> None:
    """Without it: 401, and the reason."""
    token, hashes = new_token(), tmp_path / "tokens.toml"
    record = TokenRecord(digest=digest_of(token), principal=Principal(name="alice"), expires=None)
    hashes.write_text(record_text(record))
    engine = ["--runner=fake", "--fake-step-ms=5"]
    guarded = Deployment(demo_dir, engine=engine, gateway=[f"--token-hashes={hashes}"])
    with guarded, Envoy(guarded.target, tmp_path) as envoy:
        with_it = envoy.call("GET", "/v1/models", authorization=f"Bearer {token}")
        assert with_it.json["models"][0]["name"] == "demo"
        without = envoy.call("GET", "/v1/models")
        assert (without.status, without.json["code"]) == (401, 16)
        assert without.json["details"][0]["reason"] == "TOKEN_MISSING"


def test_a_stream_that_fails_has_no_usage_and_tells_its_status_behind_its_last_line(
    demo_dir: Path, tmp_path: Path
) -> None:
    """The engine's core dies, and no takeover is allowed: a caller sees that it is not whole."""
    engine = ["--runner=fake", "--fake-step-ms=25"]
    lonely = Deployment(demo_dir, engine=engine, gateway=["--max-takeovers=0"])
    body = json.dumps(LONG).encode()
    head = (
        "POST /v1/generate:stream HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode()
    with (
        lonely,
        Envoy(lonely.target, tmp_path) as envoy,
        socket.create_connection(("127.0.0.1", envoy.port), timeout=TIMEOUT_S) as caller,
        caller.makefile("rb") as received,
    ):
        caller.sendall(head + body)
        while b'"delta"' not in received.readline():
            pass
        core_of(lonely.engine).kill()
        rest = received.read().decode()
    assert '"usage"' not in rest
    # The last chunk, of no bytes, and the trailers behind it.
    trailers = rest.rpartition("\r\n0\r\n")[2]
    assert "grpc-status: 14" in trailers.splitlines()


def test_no_gateway_is_told_as_json_and_by_health(demo_dir: Path, tmp_path: Path) -> None:
    engine = ["--runner=fake", "--fake-step-ms=5"]
    gone = Deployment(demo_dir, engine=engine)
    with gone, Envoy(gone.target, tmp_path) as envoy:
        gone.stop()
        eventually(lambda: envoy.call("GET", "/healthz").status == 503, envoy.told)
        answer = envoy.call("POST", "/v1/generate", {"text": "a"})
        assert (answer.status, answer.json["code"]) == (503, 14)
        with Client(envoy.target) as client, pytest.raises(Unavailable) as native:
            client.generate("a", max_tokens=1)
        assert native.value.message == answer.json["message"] == "no healthy upstream"


def test_a_gateway_that_drains_ends_its_streams_and_gets_no_new_ones(
    demo_dir: Path, tmp_path: Path
) -> None:
    draining = Deployment(demo_dir, engine=["--runner=fake", "--fake-step-ms=10"])
    with draining, Envoy(draining.target, tmp_path) as envoy:
        assert draining.gateway is not None
        with envoy.calling("POST", "/v1/generate:stream", LONG) as response:
            while "delta" not in json.loads(response.readline()):
                pass
            draining.gateway.signal(signal.SIGTERM)
            eventually(lambda: envoy.call("GET", "/healthz").status == 503, envoy.told)
            assert envoy.call("POST", "/v1/generate", {"text": "a"}).json["code"] == 14
            *_, last = response.read().splitlines()
    assert "usage" in json.loads(last)

"""Node's own gRPC against real processes: what a foreign caller wants, and leaves, is honoured."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from steeple.engine.v1 import engine_service_pb2_grpc
from steeple_rpc.channel import open_sync_channel
from tests.support.cluster import is_idle, load_of
from tests.support.deployment import Deployment
from tests.support.guarded import ALICE, GuardedGateway
from tests.support.node import Probe, needs_node, run_example
from tests.support.waiting import eventually

Stub = engine_service_pb2_grpc.EngineServiceStub
pytestmark = needs_node
HALF = 450
"""Of the 900 tokens of an answer that nobody leaves; 25 ms each where it is left."""


@pytest.fixture(scope="module")
def narrow(demo_dir: Path) -> Iterator[Deployment]:
    """An engine that lets one request run and one wait."""
    narrow = ("--max-num-seqs=1", "--max-num-waiting=1", "--max-num-batched-tokens=64")
    with Deployment(demo_dir, engine=["--runner=fake", "--fake-step-ms=50", *narrow]) as deployment:
        yield deployment


def test_an_answer_streams_to_node(real: Deployment) -> None:
    done = run_example("chat.mjs", "What is 2+2?", target=real.target)
    assert (done.stdout, done.returncode) == ("4\n(2 tokens)\n", 0), done.stderr


def test_a_whole_answer_reaches_node(real: Deployment) -> None:
    done = run_example("generate.mjs", "What is 2+2?", "1", target=real.target)
    assert done.stdout == "4\n(FINISH_REASON_MAX_TOKENS)\n", done.stderr


def test_node_learns_what_is_served(real: Deployment) -> None:
    """Health and the list of models."""
    done = run_example("models.mjs", target=real.target)
    told = "demo: GraniteForCausalLM, 1024 tokens of context"
    assert done.stdout.splitlines() == ["SERVING", told], done.stderr


def test_a_refusal_tells_node_the_reason_and_the_field(real: Deployment) -> None:
    """ErrorInfo and BadRequest, decoded."""
    done = run_example("generate.mjs", "a", "0", target=real.target)
    assert done.returncode == 1
    for told in ("code: 'INVALID_ARGUMENT'", "reason: 'OUT_OF_RANGE'"):
        assert told in done.stderr
    assert "field: 'stopping.max_tokens'" in done.stderr


def test_a_full_server_tells_node_when_to_come_again(narrow: Deployment) -> None:
    """RetryInfo, decoded: one runs, one waits, the third is refused."""
    with (
        Probe("stay.mjs", "60", target=narrow.target) as running,
        open_sync_channel(narrow.engine.address) as channel,
    ):
        running.wait_for("delta")
        with Probe("stay.mjs", "60", target=narrow.target):
            eventually(lambda: load_of(Stub(channel)).num_waiting == 1)
            done = run_example("generate.mjs", "a", "3", target=narrow.target)
    assert "code: 'RESOURCE_EXHAUSTED'" in done.stderr
    assert "reason: 'QUEUE_FULL'" in done.stderr
    (line,) = (line for line in done.stderr.splitlines() if "retryAfterSeconds" in line)
    assert float(line.split(":")[1].strip(" ,")) > 0


def test_what_node_cancels_ends_at_the_engine(slow: Deployment, slow_stub: Stub) -> None:
    """While the program lives: the cancel is told, not a lost connection noticed."""
    before = load_of(slow_stub).num_output_tokens
    with Probe("stay.mjs", "60", target=slow.target) as probe:
        probe.wait_for("delta")
        assert load_of(slow_stub).num_running == 1
        probe.tell("cancel")
        assert json.loads(probe.wait_for("code"))["code"] == "CANCELLED"
        eventually(lambda: is_idle(slow_stub))
        assert load_of(slow_stub).num_output_tokens - before < HALF
        assert probe.is_running


def test_leaving_the_loop_in_node_ends_nothing(slow: Deployment, slow_stub: Stub) -> None:
    """A fact of grpc-js: why our examples cancel in `finally`, which still ends it."""
    begin = load_of(slow_stub).num_output_tokens
    with Probe("stay.mjs", "60", target=slow.target) as probe:
        probe.wait_for("delta")
        probe.tell("break")
        probe.wait_for("left")
        before = load_of(slow_stub)
        eventually(lambda: load_of(slow_stub).num_steps >= before.num_steps + 20)
        assert load_of(slow_stub).num_running == 1
        probe.tell("cancel")
        eventually(lambda: is_idle(slow_stub))
        assert load_of(slow_stub).num_output_tokens - begin < HALF


def test_a_deadline_of_nodes_ends_the_work_at_the_engine(slow: Deployment, slow_stub: Stub) -> None:
    """0.3 s are a fraction of 900 steps."""
    before = load_of(slow_stub).num_output_tokens
    with Probe("stay.mjs", "0.3", target=slow.target) as probe:
        assert json.loads(probe.wait_for("code"))["code"] == "DEADLINE_EXCEEDED"
        eventually(lambda: is_idle(slow_stub))
        assert load_of(slow_stub).num_output_tokens - before < HALF
        assert probe.is_running


def test_the_example_that_leaves_frees_the_engine(slow: Deployment, slow_stub: Stub) -> None:
    before = load_of(slow_stub).num_output_tokens
    done = run_example("leave.mjs", "5", target=slow.target)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    eventually(lambda: is_idle(slow_stub))
    assert 5 <= load_of(slow_stub).num_output_tokens - before < HALF


@pytest.mark.parametrize("mode", ["open", "early"])
def test_an_answer_is_whole_whichever_way_the_caller_closes_its_direction(
    fake: Deployment, mode: str
) -> None:
    """Early as stubs do, or not at all before the answer has ended."""
    with Probe("half_close.mjs", mode, target=fake.target) as probe:
        for kind in ("started", "delta", "finished", "usage", "OK"):
            assert probe.wait_for(kind)


def test_a_call_without_a_request_begins_nothing(fake: Deployment, engine_stub: Stub) -> None:
    """A fact of grpcio: it answers no call that is closed before its message; the deadline does."""
    eventually(lambda: is_idle(engine_stub))
    before = load_of(engine_stub).num_steps
    with Probe("half_close.mjs", "empty", target=fake.target) as probe:
        assert probe.wait_for("") == "DEADLINE_EXCEEDED\n"
    assert is_idle(engine_stub)
    assert load_of(engine_stub).num_steps == before


def test_node_comes_in_by_tls_with_a_token(real: Deployment, tmp_path: Path) -> None:
    """The token travels as metadata; without it Node learns the reason."""
    upstreams = [f"--tokenizer={real.tokenizer.address}", f"--engine={real.engine.address}"]
    with GuardedGateway(upstreams, tmp_path) as gateway:
        target, ca = gateway.service.address, str(gateway.authority.ca)
        token = gateway.tokens[ALICE]
        done = run_example("chat.mjs", target=target, STEEPLE_CA=ca, STEEPLE_TOKEN=token)
        assert done.stdout.startswith("4\n"), done.stderr
        without = run_example("chat.mjs", target=target, STEEPLE_CA=ca)
        assert "reason: 'TOKEN_MISSING'" in without.stderr
        assert token not in done.stderr + without.stderr


def test_node_sends_no_token_in_the_clear(real: Deployment) -> None:
    done = run_example("chat.mjs", target=real.target, STEEPLE_TOKEN="of nobody")  # noqa: S106 - none
    assert done.returncode == 1
    assert "a token needs TLS" in done.stderr

"""However a caller leaves, the engine's work ends and its blocks come back."""

import contextlib

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from steeple.common.v1 import finish_reason_pb2
from steeple.engine.v1 import engine_service_pb2, generate_pb2
from steeple_client import AsyncClient, Client, TextDelta
from steeple_rpc.errors import DeadlineExpired
from tests.support.cluster import Stub, is_idle, load_of
from tests.support.deployment import Deployment
from tests.support.engine_work import computes_below
from tests.support.waiting import eventually

WHOLE = 900
"""Tokens of an answer that nobody leaves; 5 ms each."""


def test_closing_a_stream_frees_its_blocks(client: Client, engine_stub: Stub) -> None:
    """Nothing of the request is left; at the engine an abort counts from the next step on."""
    stream = client.generate_stream("hello world", max_tokens=WHOLE)
    for event in stream:
        if isinstance(event, TextDelta):
            break
    assert load_of(engine_stub).num_running == 1
    before = load_of(engine_stub).num_steps
    stream.close()
    eventually(lambda: is_idle(engine_stub))
    # The cancel travels through two processes meanwhile: 5 ms steps, a few of them.
    assert load_of(engine_stub).num_steps - before < 40


async def test_leaving_an_async_stream_frees_its_blocks(
    fake: Deployment, engine_stub: Stub
) -> None:
    """`aclosing` is enough."""
    with computes_below(engine_stub, WHOLE // 2):
        async with AsyncClient(fake.target) as client:
            stream = client.generate_stream("hello world", max_tokens=WHOLE)
            async with contextlib.aclosing(stream) as events:
                async for event in events:
                    if isinstance(event, TextDelta):
                        break


def test_a_deadline_frees_its_blocks(client: Client, engine_stub: Stub) -> None:
    """The deadline travels to the engine."""
    with computes_below(engine_stub, WHOLE // 2), pytest.raises(DeadlineExpired):
        list(client.generate_stream("hello world", max_tokens=WHOLE, timeout_s=0.2))


def test_a_stop_string_frees_its_blocks(client: Client, engine_stub: Stub) -> None:
    """The engine is told to stop; it does not go on to max_tokens."""
    before = load_of(engine_stub).num_output_tokens
    client.generate("one two three", max_tokens=WHOLE, stop=["three"])
    eventually(lambda: is_idle(engine_stub))
    assert load_of(engine_stub).num_output_tokens - before < 100


def test_a_waiting_request_can_leave(client: Client, engine_stub: Stub) -> None:
    """Eight seats are taken; the ninth waits, leaves, and the others go on."""
    with computes_below(engine_stub, 8 * WHOLE), contextlib.ExitStack() as stack:
        streams = [client.generate_stream(f"seat {i}", max_tokens=WHOLE) for i in range(8)]
        for stream in streams:
            next(iter(stream))
        for stream in streams:
            stack.callback(stream.close)
        with pytest.raises(DeadlineExpired):
            client.generate("ninth", max_tokens=5, timeout_s=0.2)
        eventually(lambda: load_of(engine_stub).num_waiting == 0)
        assert load_of(engine_stub).num_running == 8


def test_dropping_the_channel_frees_everything(fake: Deployment, engine_stub: Stub) -> None:
    """A client that vanishes with its connection leaves nothing behind."""
    with computes_below(engine_stub, 4 * WHOLE // 2):
        vanishing = Client(fake.target)
        streams = [vanishing.generate_stream(f"gone {i}", max_tokens=WHOLE) for i in range(4)]
        for stream in streams:
            next(iter(stream))
        vanishing.close()


def test_an_abort_at_the_engine_is_told_and_idempotent(engine_stub: Stub) -> None:
    """The stream ends with its reason; a second abort and an unknown id are fine."""
    request = generate_pb2.GenerateRequest(
        request_id="to-abort", model="demo", prompt_token_ids=[40, 41]
    )
    request.stopping.max_tokens = WHOLE
    request.sampling.temperature = 0
    call = engine_stub.Generate(request, timeout=30)
    next(iter(call))
    abort = engine_service_pb2.AbortRequest(request_ids=["to-abort", "unknown"])
    engine_stub.Abort(abort, timeout=10)
    engine_stub.Abort(abort, timeout=10)
    last = list(call)[-1]
    assert last.finished.finish_reason == finish_reason_pb2.FINISH_REASON_ABORTED
    eventually(lambda: is_idle(engine_stub))


def test_two_live_requests_cannot_share_an_id(client: Client) -> None:
    """The second is refused; the first goes on to its end."""
    stream = client.generate_stream("hello", request_id="mine", max_tokens=60)
    next(iter(stream))
    with pytest.raises(Exception, match="live request has this id"):
        client.generate("hello", request_id="mine", max_tokens=2)
    last = [event for event in stream if isinstance(event, TextDelta)][-1]
    assert last.num_completion_tokens == 60
    assert client.generate("hello", request_id="mine", max_tokens=2).text


def test_health_is_served_beside_the_work(channel: grpc.Channel) -> None:
    """The empty name is readiness, "liveness" is life."""
    stub = health_pb2_grpc.HealthStub(channel)
    for service in ("", "liveness"):
        reply = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=10)
        assert reply.status == health_pb2.HealthCheckResponse.SERVING

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
"""Tokens of an answer that nobody leaves; 22 s at the slow engine."""
HALF = WHOLE // 2


def test_closing_a_stream_frees_its_blocks(slow_client: Client, slow_stub: Stub) -> None:
    """Nothing of the request is left; at the engine an abort counts from the next step on."""
    with computes_below(slow_stub, HALF):
        stream = slow_client.generate_stream("hello world", max_tokens=WHOLE)
        for event in stream:
            if isinstance(event, TextDelta):
                break
        assert load_of(slow_stub).num_running == 1
        stream.close()


async def test_leaving_an_async_stream_frees_its_blocks(slow: Deployment, slow_stub: Stub) -> None:
    """`aclosing` is enough."""
    with computes_below(slow_stub, HALF):
        async with AsyncClient(slow.target) as client:
            stream = client.generate_stream("hello world", max_tokens=WHOLE)
            async with contextlib.aclosing(stream) as events:
                async for event in events:
                    if isinstance(event, TextDelta):
                        break


def test_a_deadline_frees_its_blocks(slow_client: Client, slow_stub: Stub) -> None:
    """The deadline travels to the engine; it is long enough for the work to begin."""
    with computes_below(slow_stub, HALF), pytest.raises(DeadlineExpired):
        list(slow_client.generate_stream("hello world", max_tokens=WHOLE, timeout_s=2.5))


def test_a_stop_string_frees_its_blocks(slow_client: Client, slow_stub: Stub) -> None:
    """The engine is told to stop; it does not go on to max_tokens."""
    with computes_below(slow_stub, HALF):
        slow_client.generate("one two three", max_tokens=WHOLE, stop=["three"])


def test_a_waiting_request_can_leave(slow_client: Client, slow_stub: Stub) -> None:
    """Eight seats are taken; the ninth waits, leaves, and the others go on."""
    with computes_below(slow_stub, 8 * HALF), contextlib.ExitStack() as stack:
        streams = [slow_client.generate_stream(f"seat {i}", max_tokens=WHOLE) for i in range(8)]
        for stream in streams:
            next(iter(stream))
        for stream in streams:
            stack.callback(stream.close)
        ninth = slow_client.generate_stream("ninth", max_tokens=5)
        eventually(lambda: load_of(slow_stub).num_waiting == 1)
        ninth.close()
        eventually(lambda: load_of(slow_stub).num_waiting == 0)
        assert load_of(slow_stub).num_running == 8


def test_dropping_the_channel_frees_everything(slow: Deployment, slow_stub: Stub) -> None:
    """A client that vanishes with its connection leaves nothing behind."""
    with computes_below(slow_stub, 4 * HALF):
        vanishing = Client(slow.target)
        streams = [vanishing.generate_stream(f"gone {i}", max_tokens=WHOLE) for i in range(4)]
        for stream in streams:
            next(iter(stream))
        vanishing.close()


def test_an_abort_at_the_engine_is_told_and_idempotent(slow_stub: Stub) -> None:
    """The stream ends with its reason; a second abort and an unknown id are fine."""
    request = generate_pb2.GenerateRequest(
        request_id="to-abort", model="demo", prompt_token_ids=[40, 41]
    )
    request.stopping.max_tokens = WHOLE
    request.sampling.temperature = 0
    call = slow_stub.Generate(request, timeout=30)
    next(iter(call))
    abort = engine_service_pb2.AbortRequest(request_ids=["to-abort", "unknown"])
    slow_stub.Abort(abort, timeout=10)
    slow_stub.Abort(abort, timeout=10)
    last = list(call)[-1]
    assert last.finished.finish_reason == finish_reason_pb2.FINISH_REASON_ABORTED
    eventually(lambda: is_idle(slow_stub))


def test_two_live_requests_cannot_share_an_id(slow_client: Client) -> None:
    """The second is refused, the first goes on; once it is over, the id is free."""
    stream = slow_client.generate_stream("hello", request_id="mine", max_tokens=WHOLE)
    counts = (event.num_completion_tokens for event in stream if isinstance(event, TextDelta))
    count = next(counts)
    with pytest.raises(Exception, match="live request has this id"):
        slow_client.generate("hello", request_id="mine", max_tokens=2)
    assert next(later for later in counts if later > count + 20)
    stream.close()
    eventually(lambda: slow_client.load().models[0].num_live == 0)
    assert slow_client.generate("hello", request_id="mine", max_tokens=2).text


def test_health_is_served_beside_the_work(channel: grpc.Channel) -> None:
    """The empty name is readiness, "liveness" is life."""
    stub = health_pb2_grpc.HealthStub(channel)
    for service in ("", "liveness"):
        reply = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=10)
        assert reply.status == health_pb2.HealthCheckResponse.SERVING

"""A caller's priority reaches the engine's policy through gateway and front."""

import contextlib
from concurrent.futures import ThreadPoolExecutor

import pytest

from steeple.engine.v1 import engine_service_pb2_grpc, info_pb2
from steeple_client import Client, GenerationStream, Usage
from steeple_rpc.errors import InvalidRequest
from tests.support.waiting import eventually

Stub = engine_service_pb2_grpc.EngineServiceStub
NUM_SEATS = 8


def num_waiting(stub: Stub) -> int:
    """How many requests wait at the engine."""
    return stub.GetLoad(info_pb2.GetLoadRequest(), timeout=10).num_waiting


def test_the_urgent_request_takes_a_seat_and_gives_it_back(
    client: Client, engine_stub: Stub
) -> None:
    """It came last; whoever lost the seat waits before the patient one, and loses nothing else."""
    with contextlib.ExitStack() as stack:
        # Only to wait for a first event, or to read a stream to its end.
        pool = stack.enter_context(ThreadPoolExecutor(2))

        def stream(priority: int) -> GenerationStream:
            return stack.enter_context(
                client.generate_stream("hello world", max_tokens=900, priority=priority)
            )

        seats = [stream(0) for _ in range(NUM_SEATS)]
        for seat in seats:
            next(seat)
        patient = stream(5)
        patient_started = pool.submit(next, patient)
        eventually(lambda: num_waiting(engine_stub) == 1)
        urgent = stream(-5)
        next(urgent)
        assert num_waiting(engine_stub) == 2
        assert engine_stub.GetLoad(info_pb2.GetLoadRequest(), timeout=10).num_preemptions > 0
        assert not patient_started.done()
        urgent.cancel()
        eventually(lambda: num_waiting(engine_stub) == 1)
        seats[0].cancel()
        patient_started.result(timeout=30)
        (usage,) = (event for event in seats[-1] if isinstance(event, Usage))
        assert usage.num_completion_tokens == 900
    eventually(lambda: num_waiting(engine_stub) == 0)


@pytest.mark.parametrize("priority", [-1001, 1001])
def test_a_priority_out_of_its_bounds_is_refused(client: Client, priority: int) -> None:
    """With the field, its bounds and the value."""
    with pytest.raises(InvalidRequest, match=f"-1000 to 1000; it is {priority}") as caught:
        client.generate("hello", max_tokens=1, priority=priority)
    assert caught.value.field == "priority"

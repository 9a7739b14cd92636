"""F-13: a caller that does not read. It is told so when it reads again; nobody else notices.

Its answers are larger than what the connection holds, so that its handler waits in a write.
"""

import asyncio
from pathlib import Path
from typing import TypeAlias

import grpc
import psutil
import pytest

from steeple.inference.v1 import generate_pb2, inference_service_pb2_grpc
from steeple_cli.load.history import End
from steeple_cli.load.loops import closed_loop
from steeple_rpc import status
from steeple_rpc.channel import channel_options
from steeple_rpc.errors import DeadlineExpired, Overloaded, ServiceError
from tests.support.cluster import Cluster
from tests.support.fault_counts import count
from tests.support.traffic import assert_kept, callers, echoes
from tests.support.waiting import eventually

# Generic in its stubs only.
Call: TypeAlias = (
    "grpc.aio.UnaryStreamCall[generate_pb2.GenerateStreamRequest,"
    " generate_pb2.GenerateStreamResponse]"
)

# A caller's ids come back as details and texts: a token is many bytes on the wire.
FAST = ("--runner=fake", "--fake-step-ms=5", "--max-num-seqs=16")
NARROW = (("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 65_536))


def _greedy_request(max_tokens: int) -> generate_pb2.GenerateStreamRequest:
    request = generate_pb2.GenerateStreamRequest(text="never read " * 8)
    request.sampling.temperature = 0
    request.stopping.max_tokens = max_tokens
    request.output.token_details = True
    request.output.logprobs = 20
    return request


async def _end_of(call: Call) -> ServiceError:
    """Read at last; the status that comes behind all that waited."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async for _ in call:
            pass
    return status.from_call(caught.value)


@pytest.mark.parametrize("why", [Overloaded, DeadlineExpired])
async def test_a_caller_that_does_not_read_is_told_when_it_reads_again(
    demo_dir: Path, sockets: Path, why: type[ServiceError]
) -> None:
    # More than a moment in which the gateway itself gets no processor.
    limits = {Overloaded: "--slow-client-s=2.5", DeadlineExpired: "--max-request-s=3"}
    with Cluster(demo_dir, sockets, engine=FAST, gateway=[limits[why]]) as cluster:
        gateway = psutil.Process(cluster.gateway.process.pid)
        rss = gateway.memory_info().rss
        options = [*channel_options(), *NARROW]
        async with grpc.aio.insecure_channel(cluster.target, options=options) as channel:
            stub = inference_service_pb2_grpc.InferenceServiceStub(channel)
            num_slow = count(2, 8)
            calls = [stub.GenerateStream(_greedy_request(900)) for _ in range(num_slow)]
            # All of them have begun; whether they all run at this moment, nobody can tell in time.
            for call in calls:
                await call.initial_metadata()
            async with callers(cluster.target) as sending:
                if why is Overloaded:
                    requests = echoes(count(20, 200), max_tokens=30)
                    histories = await closed_loop(sending.send, requests, num_callers=4)
                    assert_kept(histories)
                    assert all(history.end is End.DONE for history in histories)
            await asyncio.to_thread(
                eventually,
                lambda: cluster.gateway.names().count("slow_reader_ended") == num_slow,
                cluster.told,
            )
            # Everything is free before any of them reads again.
            await asyncio.to_thread(cluster.wait_until_idle)
            assert gateway.memory_info().rss - rss < 64 << 20
            errors = [await _end_of(call) for call in calls]
        assert {type(error) for error in errors} == {why}
        reason = "CLIENT_TOO_SLOW" if why is Overloaded else "DEADLINE_EXCEEDED"
        assert {error.reason for error in errors} == {reason}
        # The log says the same: not that they were cancelled, as their handlers were.
        await asyncio.to_thread(
            eventually, lambda: _failures(cluster) == [reason] * num_slow, cluster.told
        )


def _failures(cluster: Cluster) -> list[str]:
    """Why requests failed, as the gateway's log tells it."""
    lines = (e for e in cluster.gateway.events if e["event"] == "request_finished")
    return [str(line["reason"]) for line in lines if line["code"] != "OK"]

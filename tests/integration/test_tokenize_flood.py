"""A flood of Tokenize calls at real processes: part of it is refused, and prompts come first."""

import asyncio
from contextlib import suppress
from typing import Any

import grpc

from gateway.services.tokenization import MAX_CALLS
from steeple.inference.v1 import tokenization_service_pb2, tokenization_service_pb2_grpc
from steeple_client import AsyncClient
from steeple_rpc import status
from steeple_rpc.channel import open_channel
from steeple_rpc.errors import Overloaded
from tests.support.deployment import Deployment

NUM_CALLS = 2 * MAX_CALLS
# All that is taken together is many times what the prompts below are.
BATCH = ["one two three " * 2_000] * 8
NUM_TOKENS = 8
PATIENCE_S = 60.0


class Flood:
    """Calls with large batches, all at once, and what they were told."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        stub: Any = tokenization_service_pb2_grpc.TokenizationServiceStub(channel)
        inputs = [tokenization_service_pb2.TokenizeInput(text=text) for text in BATCH]
        request = tokenization_service_pb2.TokenizeRequest(inputs=inputs)
        self.num_served = 0
        self.refusals: list[Overloaded] = []
        self._first_refusal = asyncio.Event()
        calls = [stub.Tokenize(request) for _ in range(NUM_CALLS)]
        self._tasks = [asyncio.create_task(self._follow(call)) for call in calls]

    async def first_refusal(self) -> None:
        """Return once a call was refused: all places were taken."""
        async with asyncio.timeout(PATIENCE_S):
            await self._first_refusal.wait()

    async def stop(self) -> None:
        """Leave."""
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
        for task in self._tasks:
            with suppress(asyncio.CancelledError):
                task.result()

    async def _follow(self, call: Any) -> None:
        try:
            reply = await call
        except grpc.aio.AioRpcError as caught:
            error = status.from_call(caught)
            assert isinstance(error, Overloaded), error
            self.refusals.append(error)
            self._first_refusal.set()
        else:
            assert len(reply.results) == len(BATCH)
            self.num_served += 1
        finally:
            call.cancel()


async def test_answers_go_on_in_a_flood_of_tokenize_calls(fake: Deployment) -> None:
    """A prompt overtakes what the flood has waiting, and so does the text of its answer."""
    async with open_channel(fake.target) as channel, AsyncClient(fake.target) as client:
        flood = Flood(channel)
        try:
            await flood.first_refusal()
            for prompt in ("hello world", "and once more"):
                answer = await client.generate(prompt, max_tokens=NUM_TOKENS, ignore_eos=True)
                assert answer.usage.num_completion_tokens == NUM_TOKENS
            served, refused = flood.num_served, len(flood.refusals)
        finally:
            await flood.stop()
    assert {error.reason for error in flood.refusals} == {"QUEUE_FULL"}
    assert all(error.retry_after_s for error in flood.refusals)
    assert served < MAX_CALLS / 2, f"the prompts waited for {served} calls"
    assert 0 < refused <= NUM_CALLS - MAX_CALLS

"""A reader that has no time gets fewer and larger messages, where its channel is a paced one."""

from collections.abc import AsyncGenerator, Callable, Sequence

import grpc
import pytest

from steeple.inference.v1 import events_pb2, generate_pb2, inference_service_pb2_grpc
from steeple_rpc.channel import open_channel, open_paced_channel
from steeple_rpc.outbox import Outbox
from tests.support.scripted import ScriptedInference
from tests.support.servers import serving

TOKENS = [f"token {number:34}" for number in range(50)]
"""Of forty characters each, which is what an engine's message of one id takes."""
MAX_AHEAD = 3
"""One that waits in the reader's library, one that its window lets out, one being written."""


class Gathered:
    """An outbox whose batches leave as one delta each."""

    def __init__(self) -> None:
        self.outbox = Outbox[str](lambda: 0.0)

    async def generate(self, _: generate_pb2.GenerateRequest) -> generate_pb2.GenerateResponse:
        return generate_pb2.GenerateResponse()

    async def stream(
        self, _: generate_pb2.GenerateStreamRequest
    ) -> AsyncGenerator[generate_pb2.GenerateStreamResponse, None]:
        async for batch in self.outbox.batches():
            yield delta("".join(batch))


def delta(text: str) -> generate_pb2.GenerateStreamResponse:
    return generate_pb2.GenerateStreamResponse(delta=events_pb2.TextDelta(text=text))


async def _messages_for_a_late_reader(
    open_one: Callable[[str], grpc.aio.Channel], texts: Sequence[str]
) -> list[str]:
    """What comes where nobody reads on until all of it has been put, one by one."""
    gathered = Gathered()
    service = ScriptedInference(generate=gathered.generate, generate_stream=gathered.stream)
    async with serving(service.add_to) as served, open_one(served.address) as channel:
        stub = inference_service_pb2_grpc.InferenceServiceStub(channel)
        call = stub.GenerateStream(generate_pb2.GenerateStreamRequest())
        gathered.outbox.put(texts[0], 1)
        reading = aiter(call)
        read = [(await anext(reading)).delta.text]
        for text in texts[1:]:
            gathered.outbox.put(text, 1)
            # The way there and back on the same connection: time enough to write it.
            await stub.Generate(generate_pb2.GenerateRequest())
        gathered.outbox.close()
        return read + [message.delta.text async for message in reading]


async def test_what_a_busy_reader_leaves_waiting_comes_as_one_message() -> None:
    texts = await _messages_for_a_late_reader(open_paced_channel, TOKENS)
    assert "".join(texts) == "".join(TOKENS)
    assert len(texts) <= 1 + MAX_AHEAD + 1


async def test_without_pacing_every_token_is_a_message_of_its_own() -> None:
    assert await _messages_for_a_late_reader(open_channel, TOKENS) == TOKENS


@pytest.mark.parametrize("num_chars", [1_000, 3_000_000])
async def test_large_messages_pass_a_paced_channel_whole(num_chars: int) -> None:
    large = ["x" * num_chars, "y" * num_chars]
    assert await _messages_for_a_late_reader(open_paced_channel, large) == large

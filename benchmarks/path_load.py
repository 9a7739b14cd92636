"""A client that costs little: bytes are counted, only the last message of a stream is read."""

import asyncio
import itertools
import time
from dataclasses import dataclass

import grpc

from steeple.common.v1 import sampling_pb2
from steeple.inference.v1 import generate_pb2

METHOD = "/steeple.inference.v1.InferenceService/GenerateStream"
PROMPT = "What is 12+30?"
_CLOSING_MESSAGES = 3
"""Of each stream, beside its deltas: started, finished, usage."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """What came of one request."""

    num_tokens: int
    num_deltas: int
    gaps_s: tuple[float, ...]
    """Between two deltas."""
    beyond_engine_s: float
    """From the call to its end, without what tokenizer and engine say that they took."""


class Load:
    """Streams of one number of tokens over one channel."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        # Without serializers the library takes and hands out bytes.
        self._generate: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream(
            METHOD
        )

    async def streams(self, count: int, num_tokens: int) -> list[Stream]:
        """Run so many at once, each to its end."""
        request = generate_pb2.GenerateStreamRequest(
            text=PROMPT,
            sampling=sampling_pb2.SamplingParams(temperature=0.0),
            stopping=sampling_pb2.StoppingParams(max_tokens=num_tokens, ignore_eos=True),
        ).SerializeToString()
        return await asyncio.gather(*(self._stream(request) for _ in range(count)))

    async def _stream(self, request: bytes) -> Stream:
        begin = time.perf_counter()
        times = []
        last = b""
        async for message in self._generate(request):
            times.append(time.perf_counter())
            last = message
        end = time.perf_counter()
        usage = generate_pb2.GenerateStreamResponse.FromString(last).usage
        deltas = times[1 : 1 - _CLOSING_MESSAGES]
        took = usage.timings
        engine_ns = took.tokenize_ns + took.queue_ns + took.prefill_ns + took.decode_ns
        return Stream(
            num_tokens=usage.completion_tokens,
            num_deltas=len(deltas),
            gaps_s=tuple(b - a for a, b in itertools.pairwise(deltas)),
            beyond_engine_s=end - begin - engine_ns / 1e9,
        )

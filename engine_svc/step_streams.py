"""The streams of gateways: what comes on each begins and ends requests, what they tell goes out.

A stream ends with its gateway, or in a drain with its last live request.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from functools import partial
from typing import Protocol

from engine_svc.convert import to_steps
from engine_svc.core.outputs import RequestOutput
from engine_svc.core.request_spec import RequestSpec
from engine_svc.step_lanes import Leave, StepLanes, Submit
from steeple.engine.v1 import generate_pb2, step_stream_pb2
from steeple_rpc.errors import InvalidRequest
from steeple_rpc.observing import RpcObserver
from steeple_rpc.outbox import Outbox
from steeple_rpc.seen_call import seen_part


class SubmitRequest(Protocol):
    """Checks a request and passes it on."""

    def __call__(
        self,
        request: generate_pb2.GenerateRequest,
        timeout_s: float | None,
        wake: Callable[[], None],
    ) -> tuple[RequestSpec, Outbox[RequestOutput]]:
        """Begin it; its outbox calls `wake`. Raises ServiceError if it is refused."""


class StepStreams:
    """All streams that are open.

    Args:
        submit: begins a request.
        release: ends one; idempotent.
        observers: told of each request as if it were an RPC.
    """

    def __init__(
        self,
        submit: SubmitRequest,
        release: Callable[[RequestSpec], None],
        observers: Sequence[RpcObserver],
    ) -> None:
        self._submit = submit
        self._release = release
        self._see = partial(seen_part, observers=observers)
        self._open: set[StepLanes] = set()
        self._is_draining = False

    def drain(self) -> None:
        """Let each stream end with its last live request, and later ones at once."""
        self._is_draining = True
        for lanes in self._open:
            lanes.end()

    async def serve(
        self, requests: AsyncIterator[step_stream_pb2.StepStreamRequest]
    ) -> AsyncGenerator[step_stream_pb2.StepStreamResponse, None]:
        """What the requests of one gateway have to tell; its end, however it comes, ends them.

        Raises:
            InvalidRequest: the gateway sent what makes no sense.
        """
        lanes = StepLanes(self._release, self._see)
        self._open.add(lanes)
        if self._is_draining:
            lanes.end()
        reading = asyncio.create_task(self._read(requests, lanes))
        try:
            async with aclosing(lanes.messages()) as messages:
                async for gathered in messages:
                    yield to_steps(gathered)
            if reading.done():
                reading.result()
        finally:
            self._open.discard(lanes)
            lanes.close()
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def _read(
        self, requests: AsyncIterator[step_stream_pb2.StepStreamRequest], lanes: StepLanes
    ) -> None:
        """Do what the gateway sends; whoever sends no more wants no more, too."""
        try:
            async for request in requests:
                await lanes.take(map(self._command, request.commands))
        finally:
            lanes.close()
            lanes.end()

    def _command(self, command: step_stream_pb2.RequestCommand) -> Submit | Leave:
        if command.HasField("leave"):
            return Leave(number=command.number)
        if not command.HasField("submit"):
            raise InvalidRequest("a command of the stream is empty", field="commands")
        submit = command.submit
        timeout_s = submit.timeout_ns / 1e9 if submit.HasField("timeout_ns") else None
        return Submit(
            number=command.number,
            begin=partial(self._submit, submit.request, timeout_s),
            num_bytes=submit.ByteSize(),
            timeout_s=timeout_s,
            metadata=tuple(submit.metadata.items()),
        )

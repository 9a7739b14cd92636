"""An engine whose one stream per gateway is the test's to speak on, and requests that share it."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import grpc

from gateway.clients.step_stream import StepStream
from steeple.engine.v1 import engine_service_pb2_grpc, generate_pb2, step_stream_pb2
from steeple_rpc.context import Context, send_headers
from steeple_rpc.errors import (
    ServiceError,
)
from steeple_rpc.status import to_proto
from tests.support.waiting import LIMIT_S, eventually

Response = generate_pb2.GenerateResponse
END = Response(finished=generate_pb2.Finished())


def token(token_id: int) -> Response:
    return Response(delta=generate_pb2.TokenDelta(token_ids=[token_id]))


@dataclass
class Talk:
    """One call to the engine: what came, and what the test lets it say."""

    messages: list[step_stream_pb2.StepStreamRequest] = field(default_factory=list)
    said: "asyncio.Queue[step_stream_pb2.StepStreamResponse | Exception | None]" = field(
        default_factory=asyncio.Queue
    )
    is_left: bool = False

    @property
    def commands(self) -> list[step_stream_pb2.RequestCommand]:
        return [command for message in self.messages for command in message.commands]

    @property
    def names(self) -> dict[str, int]:
        """The numbers of the requests that came, by their ids."""
        begun = (command for command in self.commands if command.HasField("submit"))
        return {command.submit.request.request_id: command.number for command in begun}

    @property
    def left(self) -> list[int]:
        return [command.number for command in self.commands if command.HasField("leave")]

    def say(self, *updates: tuple[str, Response | ServiceError]) -> None:
        """One message."""
        told = step_stream_pb2.StepStreamResponse()
        for name, what in updates:
            update = told.updates.add(number=self.names[name])
            if isinstance(what, ServiceError):
                update.error.CopyFrom(to_proto(what))
            else:
                update.response.CopyFrom(what)
        self.said.put_nowait(told)

    def end(self, error: Exception | None = None) -> None:
        self.said.put_nowait(error)

    async def has(self, *names: str) -> None:
        """Return once these requests have come."""
        await asyncio.to_thread(eventually, lambda: set(names) <= set(self.names))


class TalkingEngine(engine_service_pb2_grpc.EngineServiceServicer):
    """Its calls, in order."""

    def __init__(self) -> None:
        self.talks: list[Talk] = []

    def add_to(self, server: grpc.aio.Server) -> None:
        engine_service_pb2_grpc.add_EngineServiceServicer_to_server(self, server)

    async def StepStream(  # noqa: N802 - named by the contract
        self, request_iterator: AsyncIterator[step_stream_pb2.StepStreamRequest], context: Context
    ) -> AsyncIterator[step_stream_pb2.StepStreamResponse]:
        await send_headers(context)
        talk = Talk()
        self.talks.append(talk)
        reading = asyncio.create_task(self._read(request_iterator, talk))
        try:
            while (said := await talk.said.get()) is not None:
                if isinstance(said, Exception):
                    raise said
                yield said
        finally:
            talk.is_left = True
            reading.cancel()

    async def _read(
        self, requests: AsyncIterator[step_stream_pb2.StepStreamRequest], talk: Talk
    ) -> None:
        async for request in requests:
            talk.messages.append(request)

    async def talk(self, number: int = 0) -> Talk:
        """A call, as soon as it is there."""
        await asyncio.to_thread(eventually, lambda: len(self.talks) > number)
        return self.talks[number]


class Request:
    """One request and what it is told."""

    def __init__(
        self,
        stream: StepStream,
        name: str,
        *,
        timeout_s: float | None = None,
        num_prompt: int = 1,
        at_most: int | None = None,
        raises: Exception | None = None,
        cancels: "Request | None" = None,
    ) -> None:
        self.told: list[int] = []
        self.num_taken = 0
        self._at_most = at_most
        self._raises = raises
        self._cancels = cancels
        request = generate_pb2.GenerateRequest(request_id=name, prompt_token_ids=[1] * num_prompt)
        submit = step_stream_pb2.SubmitRequest(request=request)
        self.task = asyncio.create_task(stream.run(submit, timeout_s, self._take))

    def _take(self, response: Response) -> bool:
        self.num_taken += 1
        if self._raises is not None:
            raise self._raises
        if self._cancels is not None:
            self._cancels.task.cancel()
        self.told += response.delta.token_ids
        return len(self.told) != self._at_most

    async def error(self) -> Any:
        """What it ends with."""
        async with asyncio.timeout(LIMIT_S):
            await asyncio.wait({self.task})
        return self.task.exception()

"""A detokenize client whose service does what the test says, command by command."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest

from gateway.clients.detokenizer import DetokenizeClient
from gateway.upstream_values import SessionOptions, TextUpdate, TokenizerFacts
from steeple.tokenizer.v1 import detokenize_pb2, tokenizer_service_pb2_grpc
from steeple_rpc.channel import open_channel
from steeple_rpc.context import TAKEN_UP, Context
from steeple_rpc.errors import ServiceError, Unavailable
from steeple_rpc.outbox import Outbox
from tests.support.gateway_fakes import tokenizer_facts
from tests.support.servers import serving
from tests.support.waiting import LIMIT_S

OPTIONS = SessionOptions(
    model="m",
    prompt_tail_ids=(1, 2),
    stop=("x",),
    min_tokens=3,
    skip_special_tokens=True,
    include_stop_in_output=False,
    token_texts=True,
)


@dataclass
class Service(tokenizer_service_pb2_grpc.TokenizerServiceServicer):
    """Hands every command to the test, and sends what the test wants sent."""

    commands: asyncio.Queue[Any] = field(default_factory=asyncio.Queue)
    answers: asyncio.Queue[Any] = field(default_factory=asyncio.Queue)
    streams: asyncio.Queue[None] = field(default_factory=asyncio.Queue)
    fingerprint: str = "f"
    is_gone: bool = False
    begun: asyncio.Queue[None] = field(default_factory=asyncio.Queue)

    async def learn(self) -> dict[str, TokenizerFacts]:
        """What the client asks for before each stream: the tokenizer of this moment."""
        self.begun.put_nowait(None)
        return {OPTIONS.model: tokenizer_facts(fingerprint=self.fingerprint)}

    async def Detokenize(  # noqa: N802 - named by the contract
        self, requests: AsyncIterator[detokenize_pb2.DetokenizeRequest], context: Context
    ) -> AsyncIterator[detokenize_pb2.DetokenizeResponse]:
        if self.is_gone:
            raise Unavailable("not here")
        await context.send_initial_metadata(TAKEN_UP)
        self.streams.put_nowait(None)
        taking = asyncio.ensure_future(self._take(requests))
        try:
            while (answer := await self.answers.get()) is not None:
                yield answer
        finally:
            taking.cancel()

    async def _take(self, requests: AsyncIterator[detokenize_pb2.DetokenizeRequest]) -> None:
        async for request in requests:
            for command in request.commands:
                self.commands.put_nowait(command)

    async def command(self) -> Any:
        """The next command that came."""
        async with asyncio.timeout(LIMIT_S):
            return await self.commands.get()

    def send(self, session: int, **update: Any) -> None:
        """Send one session's update on the stream that is up, or else the next."""
        made = detokenize_pb2.SessionUpdate(session=session, **update)
        self.answers.put_nowait(detokenize_pb2.DetokenizeResponse(updates=[made]))


@dataclass
class Harness:
    """A client whose stream is up."""

    client: DetokenizeClient
    service: Service


@asynccontextmanager
async def harness_of(service: Service, **options: Any) -> AsyncIterator[Harness]:
    """A client of that service, made with these options, which runs for the block."""

    def add(server: grpc.aio.Server) -> None:
        tokenizer_service_pb2_grpc.add_TokenizerServiceServicer_to_server(service, server)

    clock = asyncio.get_running_loop().time
    async with serving(add) as served, open_channel(served.address) as channel:
        client = DetokenizeClient(channel, service.learn, clock, **{"pause_s": 0.0, **options})
        running = asyncio.ensure_future(client.run())
        await asyncio.wait({running}, timeout=0)
        try:
            yield Harness(client, service)
        finally:
            running.cancel()
            await asyncio.wait({running})


async def first_session(harness: Harness, num_commands: int) -> int:
    """The number of the session that the next commands are about; all of them have come."""
    numbers = {(await harness.service.command()).session for _ in range(num_commands)}
    (number,) = numbers
    return int(number)


def outbox() -> Outbox[TextUpdate]:
    """Where a session's text goes, with room for all that a test sends."""
    return Outbox[TextUpdate](asyncio.get_running_loop().time)


async def batch(outbox: Outbox[TextUpdate]) -> list[TextUpdate]:
    """The next batch."""
    batches = outbox.batches()
    async with asyncio.timeout(LIMIT_S):
        return await anext(batches)


async def rest(outbox: Outbox[TextUpdate]) -> list[TextUpdate]:
    """All updates that are left, up to the session's good end."""
    async with asyncio.timeout(LIMIT_S):
        return [update async for batch in outbox.batches() for update in batch]


async def end(outbox: Outbox[TextUpdate]) -> ServiceError:
    """The error that the session ends with; fails the test if it does not."""
    with pytest.raises(ServiceError) as caught:
        await rest(outbox)
    return caught.value

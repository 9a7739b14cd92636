"""How many calls of Tokenize and Detokenize are taken, and whose turn it is; real channels."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc

from gateway.catalog import Catalog
from gateway.places import PARTS
from gateway.services.tokenization import MAX_CALLS, SLICE_SIZE, TokenizationService
from gateway.upstream_values import EncodeInput
from gateway.values import EncodedPrompt
from steeple.inference.v1 import tokenization_service_pb2, tokenization_service_pb2_grpc
from steeple_rpc.channel import open_channel
from steeple_rpc.errors import Overloaded, ServiceError, Unavailable
from tests.support.gateway_fakes import FakeBackends, FakeTokenizer, catalog_of, engine_state
from tests.support.servers import failure, serving
from tests.support.token_door import TokenDoor
from tests.support.waiting import LIMIT_S

PART = MAX_CALLS // PARTS


class HeldTokenizer(FakeTokenizer):
    """Encodes when it is told to; knows how many asked at once, and with what."""

    def __init__(self) -> None:
        super().__init__()
        self.may_answer = asyncio.Event()
        self.asked: list[str] = []
        self.num_asking = self.most_asking = 0

    async def encode_each(
        self, model: str, inputs: Sequence[EncodeInput], *, timeout_s: float | None
    ) -> list[EncodedPrompt | ServiceError]:
        self.asked += [item.text[:1] for item in inputs]
        self.num_asking += 1
        self.most_asking = max(self.most_asking, self.num_asking)
        try:
            await self.may_answer.wait()
            return await super().encode_each(model, inputs, timeout_s=timeout_s)
        finally:
            self.num_asking -= 1


class AskedBackends(FakeBackends):
    """Tells when it is asked what is served: by each call as it comes, and in each turn."""

    def __init__(self) -> None:
        self.held = HeldTokenizer()
        super().__init__(catalog_of(engine_state()), [], tokenizer=self.held)
        self._questions: asyncio.Queue[None] = asyncio.Queue()

    def catalog(self) -> Catalog:
        self._questions.put_nowait(None)
        return super().catalog()

    async def were_asked(self, times: int) -> None:
        """Return once they were asked so often again, and whoever asked waits."""
        async with asyncio.timeout(LIMIT_S):
            for _ in range(times):
                await self._questions.get()


class Tokenizing:
    """Calls of named callers; an empty name is nobody's."""

    def __init__(self, channel: grpc.aio.Channel, door: TokenDoor | None) -> None:
        self._stub: Any = tokenization_service_pb2_grpc.TokenizationServiceStub(channel)
        self._door = door

    def begin(self, *texts: str, name: str = "") -> "asyncio.Task[Any]":
        """A call under way."""
        inputs = [tokenization_service_pb2.TokenizeInput(text=text) for text in texts]
        request = tokenization_service_pb2.TokenizeRequest(inputs=inputs)
        metadata = self._door.shown_by(name) if self._door else ()
        return asyncio.ensure_future(_reply(self._stub.Tokenize(request, metadata=metadata)))


async def _reply(call: Any) -> Any:
    return await call


@asynccontextmanager
async def tokenizing(
    backends: AskedBackends, door: TokenDoor | None = None
) -> AsyncIterator[Tokenizing]:
    service = TokenizationService(backends)  # type: ignore[arg-type] # a fake

    def add(server: grpc.aio.Server) -> None:
        tokenization_service_pb2_grpc.add_TokenizationServiceServicer_to_server(service, server)

    guards = [door.guard] if door else []
    async with (
        serving(add, interceptors=guards) as served,
        open_channel(served.address) as channel,
    ):
        yield Tokenizing(channel, door)


async def first_failure(calls: Sequence["asyncio.Task[Any]"]) -> Overloaded:
    """The refusal that ends one of these calls while the others wait."""
    async with asyncio.timeout(LIMIT_S):
        (ended,), _ = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
    error = await failure(ended)
    assert isinstance(error, Overloaded)
    assert error.retry_after_s is not None
    return error


async def test_one_call_too_many_is_refused_at_once_and_the_others_are_served() -> None:
    """One at a time is with the tokenizer service: its other threads are for prompts."""
    backends = AskedBackends()
    async with tokenizing(backends) as callers:
        calls = [callers.begin("ab") for _ in range(MAX_CALLS + 1)]
        error = await first_failure(calls)
        assert error.reason == "QUEUE_FULL"
        told = f"{MAX_CALLS} calls of Tokenize and Detokenize are live; the limit is {MAX_CALLS}"
        assert error.message == told
        backends.held.may_answer.set()
        replies = await asyncio.gather(*calls, return_exceptions=True)
        texts = [r for r in replies if isinstance(r, tokenization_service_pb2.TokenizeResponse)]
        assert len(texts) == MAX_CALLS
        assert backends.held.most_asking == 1
        assert (await callers.begin("ab")).results[0].tokens.ids == [97, 98]


async def test_one_caller_cannot_keep_the_others_out() -> None:
    backends = AskedBackends()
    async with tokenizing(backends, TokenDoor("alice", "bob")) as callers:
        calls = [callers.begin("ab", name="alice") for _ in range(PART + 1)]
        error = await first_failure(calls)
        assert error.reason == "PRINCIPAL_QUOTA"
        assert f"the limit for one caller is {PART}" in error.message
        bobs = callers.begin("ab", name="bob")
        backends.held.may_answer.set()
        assert (await bobs).results[0].tokens.ids == [97, 98]
        await asyncio.gather(*calls, return_exceptions=True)


async def test_a_small_call_does_not_wait_for_all_of_a_large_one() -> None:
    """For one slice of it."""
    backends = AskedBackends()
    async with tokenizing(backends) as callers:
        large = callers.begin(*("L" * SLICE_SIZE for _ in range(3)))
        await backends.were_asked(2)
        small = callers.begin("S")
        await backends.were_asked(1)
        backends.held.may_answer.set()
        replies = await asyncio.gather(large, small)
        assert [len(reply.results) for reply in replies] == [3, 1]
        assert backends.held.asked == ["L", "S", "L", "L"]


async def test_who_waited_while_the_tokenizer_went_is_told_so() -> None:
    """And is not sent after it: each would wait out the time of a call."""
    backends = AskedBackends()
    async with tokenizing(backends) as callers:
        first = callers.begin("F")
        await backends.were_asked(2)
        second = callers.begin("S")
        await backends.were_asked(1)
        backends.now = catalog_of()
        backends.held.may_answer.set()
        await first
        assert isinstance(await failure(second), Unavailable)
        assert backends.held.asked == ["F"]

"""Both clients called alike, and what a scripted gateway's answers are to them."""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any, Protocol

import pytest

from steeple_client import (
    AsyncClient,
    Client,
    Event,
    Finished,
    FinishReason,
    Generation,
    Message,
    Model,
    Started,
    Usage,
)
from steeple_rpc.errors import ServiceError

STARTED = Started(
    request_id="r",
    model="m",
    num_prompt_tokens=3,
    sampling={"seed": 7, "temperature": 0.0},
    stopping={"max_tokens": 9},
    max_tokens=9,
)
FINISHED = Finished(reason=FinishReason.EOS, stop=0)
USAGE = Usage(
    num_prompt_tokens=3,
    num_completion_tokens=1,
    num_cached_prompt_tokens=1,
    queue_s=1.0,
    prefill_s=2.0,
    decode_s=3.0,
    total_s=7.0,
)


class Calls(Protocol):
    """What both clients can do, awaited."""

    async def generate(self, prompt: str | Sequence[int], **options: Any) -> Generation: ...

    async def generate_stream(self, prompt: str | Sequence[int], **options: Any) -> list[Event]: ...

    async def chat(self, messages: Sequence[Message], **options: Any) -> Generation: ...

    async def chat_stream(self, messages: Sequence[Message], **options: Any) -> list[Event]: ...

    async def models(self) -> list[Model]: ...

    async def model(self, name: str = "") -> Model: ...

    async def wait_until_ready(self, timeout_s: float) -> None: ...


class Threaded:
    """The blocking client, used from a thread."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def generate(self, prompt: str | Sequence[int], **options: Any) -> Generation:
        return await asyncio.to_thread(self._client.generate, prompt, **options)

    async def generate_stream(self, prompt: str | Sequence[int], **options: Any) -> list[Event]:
        return await asyncio.to_thread(
            lambda: list(self._client.generate_stream(prompt, **options))
        )

    async def chat(self, messages: Sequence[Message], **options: Any) -> Generation:
        return await asyncio.to_thread(self._client.chat, messages, **options)

    async def chat_stream(self, messages: Sequence[Message], **options: Any) -> list[Event]:
        return await asyncio.to_thread(lambda: list(self._client.chat_stream(messages, **options)))

    async def models(self) -> list[Model]:
        return await asyncio.to_thread(self._client.models)

    async def model(self, name: str = "") -> Model:
        return await asyncio.to_thread(self._client.model, name)

    async def wait_until_ready(self, timeout_s: float) -> None:
        await asyncio.to_thread(self._client.wait_until_ready, timeout_s)


class Asynchronous:
    """The asyncio client, its streams read to the end."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client
        # Their keywords are named one by one; here they are any.
        self.generate: Any = client.generate
        self.chat: Any = client.chat
        self.models = client.models
        self.model = client.model
        self.wait_until_ready = client.wait_until_ready

    async def generate_stream(self, prompt: str | Sequence[int], **options: Any) -> list[Event]:
        async with aclosing(self._client.generate_stream(prompt, **options)) as events:
            return [event async for event in events]

    async def chat_stream(self, messages: Sequence[Message], **options: Any) -> list[Event]:
        async with aclosing(self._client.chat_stream(messages, **options)) as events:
            return [event async for event in events]


async def refusal(call: Any) -> ServiceError:
    """The error that a call ends with; fails the test if it does not."""
    with pytest.raises(ServiceError) as caught:
        await call
    return caught.value

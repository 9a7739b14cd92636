"""The asyncio client."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, Unpack

from steeple_client import calls
from steeple_client.aio_caller import AsyncCaller
from steeple_client.aio_stream import AsyncGenerationStream
from steeple_client.credentials import Credentials
from steeple_client.errors import (
    Cancelled,
    DeadlineExpired,
    ServiceError,
    Unavailable,
    not_ready,
)
from steeple_client.load import DEFAULT_INTERVAL_S, Load
from steeple_client.options import ChatOptions, GenerateOptions
from steeple_client.requests import Conversation, Prompt
from steeple_client.retries import Retries
from steeple_client.terms import DEFAULT_RETRIES, DEFAULT_TARGET, READY_PAUSE_S, Terms
from steeple_client.values import Generation, Model
from steeple_rpc.tls.channel_tls import ChannelTls


class AsyncClient:
    """One connection to a gateway, used on one event loop: that of its first call.

    Args:
        target: HOST:PORT or unix:PATH of the gateway; dns:///HOST:PORT or
            ipv4:ADDRESS:PORT,ADDRESS:PORT of several, which are called in turn.
        tls: how to make sure of the server; None = plaintext.
        token: shown with every call; a path is a file that holds it, and is read again when it
            changes. In plaintext it goes nowhere but to this machine.
        retries: how often calls that can be made again are made; NO_RETRIES = once.
        timeout_s: seconds for a generation and all its attempts, where the call says nothing;
            None = the server's limit.

    Raises:
        InvalidRequest: the token cannot be sent there, or `timeout_s` is not above 0.
        SettingRefused: a file of `tls`, or the token's, cannot be used.
    """

    def __init__(
        self,
        target: str = DEFAULT_TARGET,
        *,
        tls: ChannelTls | None = None,
        token: str | Path | None = None,
        retries: Retries = DEFAULT_RETRIES,
        timeout_s: float | None = None,
    ) -> None:
        credentials = Credentials(token, target=target, has_tls=tls is not None)
        terms = Terms(
            target=target, tls=tls, credentials=credentials, retries=retries, timeout_s=timeout_s
        )
        self._caller = AsyncCaller(terms)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Give the connection back; calls that still run are cancelled."""
        await self._caller.close()

    async def generate(self, prompt: Prompt, **options: Unpack[GenerateOptions]) -> Generation:
        """Continue a text, or token ids, and return the whole answer.

        Raises:
            ServiceError: the request was refused or failed.
        """
        return await self._caller.answer(calls.generate(prompt, options))

    def generate_stream(
        self, prompt: Prompt, **options: Unpack[GenerateOptions]
    ) -> AsyncGenerationStream:
        """Continue a text, or token ids; events as they come.

        Raises:
            InvalidRequest: the request cannot be sent. Reading the stream raises the rest.
        """
        return AsyncGenerationStream(self._caller, calls.generate_stream(prompt, options))

    async def chat(self, messages: Conversation, **options: Unpack[ChatOptions]) -> Generation:
        """Answer a conversation, or one text of a user, and return the whole answer.

        Raises:
            ServiceError: the request was refused or failed.
        """
        return await self._caller.answer(calls.chat(messages, options))

    def chat_stream(
        self, messages: Conversation, **options: Unpack[ChatOptions]
    ) -> AsyncGenerationStream:
        """Answer a conversation, or one text of a user; events as they come.

        Raises:
            InvalidRequest: the request cannot be sent. Reading the stream raises the rest.
        """
        return AsyncGenerationStream(self._caller, calls.chat_stream(messages, options))

    async def tokenize(
        self, text: Conversation, *, model: str = "", add_special_tokens: bool = True
    ) -> list[int]:
        """The token ids of a text, or of a conversation that is ready to be answered.

        Args:
            text: a text, or messages.
            model: served name; may be left out where exactly one model is served.
            add_special_tokens: to a text, those that the model expects.

        Raises:
            ServiceError: the call was refused or failed.
        """
        return await self._caller.answer(
            calls.tokenize(text, model, add_special_tokens=add_special_tokens)
        )

    async def detokenize(
        self, token_ids: Sequence[int], *, model: str = "", skip_special_tokens: bool = True
    ) -> str:
        """The text of token ids.

        Args:
            token_ids: of the model's vocabulary.
            model: served name; may be left out where exactly one model is served.
            skip_special_tokens: leave them out of the text.

        Raises:
            ServiceError: the call was refused or failed.
        """
        return await self._caller.answer(
            calls.detokenize(token_ids, model, skip_special_tokens=skip_special_tokens)
        )

    async def models(self) -> list[Model]:
        """Every model that is served now, by name.

        Raises:
            ServiceError: the call was refused or failed.
        """
        found, page_token = await self._caller.answer(calls.models_page(""))
        while page_token:
            more, page_token = await self._caller.answer(calls.models_page(page_token))
            found += more
        return found

    async def model(self, name: str = "") -> Model:
        """One model; without a name the only one.

        Raises:
            ServiceError: the call was refused or failed.
        """
        return await self._caller.answer(calls.model(name))

    async def load(self) -> Load:
        """How busy the deployment is now.

        Raises:
            ServiceError: the call was refused or failed.
        """
        return await self._caller.answer(calls.load())

    def watch_load(self, interval_s: float = DEFAULT_INTERVAL_S) -> AsyncIterator[Load]:
        """How busy it is, at once and then at an interval of 0.1 to 60 seconds, without an end.

        Raises:
            InvalidRequest: the interval is no such number. Reading raises the rest: Unavailable
                once the gateway ends.
        """
        return self._caller.messages(calls.watch_load(interval_s))

    async def is_ready(self) -> bool:
        """Whether the gateway serves now; False where none answers, too."""
        try:
            return await self._caller.answer(calls.health())
        except (Unavailable, DeadlineExpired):
            return False

    async def wait_until_ready(self, timeout_s: float) -> None:
        """Return as soon as the gateway serves.

        Raises:
            DeadlineExpired: it did not within `timeout_s`.
        """
        clock = asyncio.get_running_loop().time
        end_s, last = clock() + timeout_s, None
        while (left_s := end_s - clock()) > 0:
            try:
                if await self._caller.becomes_ready(left_s):
                    return
                last = None
            except Cancelled:
                raise
            except ServiceError as error:
                last = last if isinstance(error, DeadlineExpired) else error
            await asyncio.sleep(min(READY_PAUSE_S, left_s))
        raise not_ready(timeout_s, last)

"""The asyncio client."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from steeple.inference.v1 import (
    chat_pb2,
    generate_pb2,
    inference_service_pb2_grpc,
    model_service_pb2,
    model_service_pb2_grpc,
)
from steeple_client import convert
from steeple_client.credentials import CallMetadata, call_metadata
from steeple_client.options import GenerateOptions
from steeple_client.sync import CALL_TIMEOUT_S, DEFAULT_TARGET, RETRY_PAUSE_S
from steeple_client.values import Event, Generation, Message, Model
from steeple_rpc.channel import open_channel
from steeple_rpc.errors import DeadlineExpired
from steeple_rpc.status import from_call
from steeple_rpc.tls.channel_tls import ChannelTls

Reply = TypeVar("Reply")


class AsyncClient:
    """One connection to a gateway, used on one event loop.

    Args:
        target: HOST:PORT or unix:PATH of the gateway.
        tls: how to make sure of the server; None = plaintext.
        token: shown with every call. In plaintext it goes nowhere but to this machine.

    Raises:
        TlsRefused: a file of `tls` cannot be used.
        InvalidRequest: the token cannot be sent there.
    """

    def __init__(
        self,
        target: str = DEFAULT_TARGET,
        *,
        tls: ChannelTls | None = None,
        token: str | None = None,
    ) -> None:
        self._metadata = call_metadata(token, target=target, has_tls=tls is not None)
        self._channel = open_channel(target, tls)
        self._inference = inference_service_pb2_grpc.InferenceServiceStub(self._channel)
        self._models = model_service_pb2_grpc.ModelServiceStub(self._channel)
        self._health = health_pb2_grpc.HealthStub(self._channel)

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
        await self._channel.close(None)

    async def generate(
        self, prompt: convert.Prompt, **options: Unpack[GenerateOptions]
    ) -> Generation:
        """Continue a text, or token ids, and return the whole answer."""
        request = convert.generate_request(generate_pb2.GenerateRequest, prompt, options)
        call = self._inference.Generate(
            request, timeout=options.get("timeout_s"), metadata=self._metadata
        )
        return convert.from_generate(await _told(call))

    def generate_stream(
        self, prompt: convert.Prompt, **options: Unpack[GenerateOptions]
    ) -> AsyncGenerator[Event, None]:
        """Continue a text, or token ids; events as they come.

        Close the generator (`contextlib.aclosing`) to cancel: `break` alone does not.
        """
        request = convert.generate_request(generate_pb2.GenerateStreamRequest, prompt, options)
        return _events(
            self._inference.GenerateStream, request, options.get("timeout_s"), self._metadata
        )

    async def chat(
        self, messages: Sequence[Message], **options: Unpack[GenerateOptions]
    ) -> Generation:
        """Answer a conversation and return the whole answer."""
        request = convert.chat_request(chat_pb2.ChatRequest, messages, options)
        call = self._inference.Chat(
            request, timeout=options.get("timeout_s"), metadata=self._metadata
        )
        return convert.from_chat(await _told(call))

    def chat_stream(
        self, messages: Sequence[Message], **options: Unpack[GenerateOptions]
    ) -> AsyncGenerator[Event, None]:
        """Answer a conversation; events as they come.

        Close the generator (`contextlib.aclosing`) to cancel: `break` alone does not.
        """
        request = convert.chat_request(chat_pb2.ChatStreamRequest, messages, options)
        return _events(
            self._inference.ChatStream, request, options.get("timeout_s"), self._metadata
        )

    async def models(self) -> list[Model]:
        """Every model that is served now, by name."""
        found: list[Model] = []
        token = ""
        while True:
            request = model_service_pb2.ListModelsRequest(page_token=token)
            page = await _told(
                self._models.ListModels(request, timeout=CALL_TIMEOUT_S, metadata=self._metadata)
            )
            found += [convert.to_model(model) for model in page.models]
            token = page.next_page_token
            if not token:
                return found

    async def model(self, name: str = "") -> Model:
        """One model; without a name the only one."""
        request = model_service_pb2.GetModelRequest(name=name)
        reply = await _told(
            self._models.GetModel(request, timeout=CALL_TIMEOUT_S, metadata=self._metadata)
        )
        return convert.to_model(reply.model)

    async def wait_until_ready(self, timeout_s: float) -> None:
        """Return as soon as the gateway serves.

        Raises:
            DeadlineExpired: it did not within `timeout_s`.
        """
        try:
            async with asyncio.timeout(timeout_s):
                while not await self._becomes_ready():  # noqa: ASYNC110 - retries, not polls
                    await asyncio.sleep(RETRY_PAUSE_S)
        except TimeoutError:
            raise DeadlineExpired(f"not ready within {timeout_s:g} s", reason="NOT_READY") from None

    async def _becomes_ready(self) -> bool:
        """Whether health says so before the watch ends; a server that is away ends it at once."""
        watch = self._health.Watch(health_pb2.HealthCheckRequest())
        try:
            async for response in watch:
                if response.status == health_pb2.HealthCheckResponse.SERVING:
                    return True
        except grpc.aio.AioRpcError:
            return False
        finally:
            watch.cancel()
        return False


async def _told(call: Awaitable[Reply]) -> Reply:
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        raise from_call(error) from None


# The stubs' stream types differ by message; all are made with a timeout, iterate and cancel.
async def _events(
    method: Any, request: Any, timeout_s: float | None, metadata: CallMetadata
) -> AsyncGenerator[Event, None]:
    call = method(request, timeout=timeout_s, metadata=metadata)
    try:
        async for response in call:
            yield convert.to_event(response)
    except grpc.aio.AioRpcError as error:
        raise from_call(error) from None
    finally:
        call.cancel()

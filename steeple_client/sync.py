"""The blocking client."""

import time
from collections.abc import Callable, Iterator, Sequence
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
from steeple_client.credentials import call_metadata
from steeple_client.options import GenerateOptions
from steeple_client.values import Event, Generation, Message, Model
from steeple_rpc.channel import open_sync_channel
from steeple_rpc.errors import DeadlineExpired
from steeple_rpc.status import from_call
from steeple_rpc.tls.channel_tls import ChannelTls

DEFAULT_TARGET = "127.0.0.1:50051"
RETRY_PAUSE_S = 0.1
CALL_TIMEOUT_S = 10.0
Reply = TypeVar("Reply")


class Client:
    """One connection to a gateway; safe to use from several threads.

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
        self._channel = open_sync_channel(target, tls)
        self._inference = inference_service_pb2_grpc.InferenceServiceStub(self._channel)
        self._models = model_service_pb2_grpc.ModelServiceStub(self._channel)
        self._health = health_pb2_grpc.HealthStub(self._channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the connection back; calls that still run are cancelled."""
        self._channel.close()

    def generate(self, prompt: convert.Prompt, **options: Unpack[GenerateOptions]) -> Generation:
        """Continue a text, or token ids, and return the whole answer."""
        request = convert.generate_request(generate_pb2.GenerateRequest, prompt, options)
        timeout_s = options.get("timeout_s")
        return convert.from_generate(
            _told(
                lambda: self._inference.Generate(
                    request, timeout=timeout_s, metadata=self._metadata
                )
            )
        )

    def generate_stream(
        self, prompt: convert.Prompt, **options: Unpack[GenerateOptions]
    ) -> Iterator[Event]:
        """Continue a text, or token ids; events as they come.

        Closing or dropping the iterator cancels the call.
        """
        request = convert.generate_request(generate_pb2.GenerateStreamRequest, prompt, options)
        timeout_s = options.get("timeout_s")
        return _events(
            lambda: self._inference.GenerateStream(
                request, timeout=timeout_s, metadata=self._metadata
            )
        )

    def chat(self, messages: Sequence[Message], **options: Unpack[GenerateOptions]) -> Generation:
        """Answer a conversation and return the whole answer."""
        request = convert.chat_request(chat_pb2.ChatRequest, messages, options)
        timeout_s = options.get("timeout_s")
        return convert.from_chat(
            _told(lambda: self._inference.Chat(request, timeout=timeout_s, metadata=self._metadata))
        )

    def chat_stream(
        self, messages: Sequence[Message], **options: Unpack[GenerateOptions]
    ) -> Iterator[Event]:
        """Answer a conversation; events as they come.

        Closing or dropping the iterator cancels the call.
        """
        request = convert.chat_request(chat_pb2.ChatStreamRequest, messages, options)
        timeout_s = options.get("timeout_s")
        return _events(
            lambda: self._inference.ChatStream(request, timeout=timeout_s, metadata=self._metadata)
        )

    def models(self) -> list[Model]:
        """Every model that is served now, by name."""
        found: list[Model] = []
        token = ""
        while True:
            request = model_service_pb2.ListModelsRequest(page_token=token)
            page = self._models_page(request)
            found += [convert.to_model(model) for model in page.models]
            token = page.next_page_token
            if not token:
                return found

    def model(self, name: str = "") -> Model:
        """One model; without a name the only one."""
        request = model_service_pb2.GetModelRequest(name=name)
        reply = _told(
            lambda: self._models.GetModel(request, timeout=CALL_TIMEOUT_S, metadata=self._metadata)
        )
        return convert.to_model(reply.model)

    def wait_until_ready(self, timeout_s: float) -> None:
        """Return as soon as the gateway serves.

        Raises:
            DeadlineExpired: it did not within `timeout_s`.
        """
        end = time.monotonic() + timeout_s
        while (left := end - time.monotonic()) > 0:
            if self._becomes_ready(left):
                return
            time.sleep(min(RETRY_PAUSE_S, left))
        raise DeadlineExpired(f"not ready within {timeout_s:g} s", reason="NOT_READY")

    def _models_page(
        self, request: model_service_pb2.ListModelsRequest
    ) -> model_service_pb2.ListModelsResponse:
        return _told(
            lambda: self._models.ListModels(
                request, timeout=CALL_TIMEOUT_S, metadata=self._metadata
            )
        )

    def _becomes_ready(self, timeout_s: float) -> bool:
        """Whether health says so before the watch ends; a server that is away ends it at once."""
        watch = self._health.Watch(health_pb2.HealthCheckRequest(), timeout=timeout_s)
        try:
            serving = health_pb2.HealthCheckResponse.SERVING
            return any(response.status == serving for response in watch)
        except grpc.RpcError:
            return False
        finally:
            watch.cancel()


def _told(call: Callable[[], Reply]) -> Reply:
    try:
        return call()
    except grpc.RpcError as error:
        raise from_call(error) from None


# The stubs' stream types differ by message; both iterate and cancel.
def _events(make_call: Callable[[], Any]) -> Iterator[Event]:
    call = make_call()
    try:
        for response in call:
            yield convert.to_event(response)
    except grpc.RpcError as error:
        raise from_call(error) from None
    finally:
        call.cancel()

"""The public services with scripted handlers: what a client meets is what the test wrote."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import grpc

from steeple.inference.v1 import (
    chat_pb2,
    generate_pb2,
    inference_service_pb2_grpc,
    load_service_pb2,
    load_service_pb2_grpc,
    model_service_pb2,
    model_service_pb2_grpc,
)
from steeple_rpc.context import Context

# A script sees any of the requests and answers in the messages of its RPC.
Unary = Callable[[Any], Awaitable[Any]]
Stream = Callable[[Any], AsyncGenerator[Any, None]]


async def unscripted(request: Any) -> Any:
    """The default of a unary script: nobody asked for it."""
    raise AssertionError(f"no script for {type(request).__name__}")


async def unscripted_stream(request: Any) -> AsyncGenerator[Any, None]:
    """The default of a stream script: nobody asked for it."""
    yield await unscripted(request)


@dataclass(slots=True)
class ScriptedInference(inference_service_pb2_grpc.InferenceServiceServicer):
    """InferenceService by script; keeps every request."""

    generate: Unary = unscripted
    generate_stream: Stream = unscripted_stream
    chat: Unary = unscripted
    chat_stream: Stream = unscripted_stream
    requests: list[Any] = field(default_factory=list)

    def add_to(self, server: grpc.aio.Server) -> None:
        """Serve it."""
        inference_service_pb2_grpc.add_InferenceServiceServicer_to_server(self, server)

    async def Generate(  # noqa: N802 - named by the contract
        self, request: generate_pb2.GenerateRequest, context: Context
    ) -> generate_pb2.GenerateResponse:
        self.requests.append(request)
        response: generate_pb2.GenerateResponse = await self.generate(request)
        return response

    async def GenerateStream(  # noqa: N802 - named by the contract
        self, request: generate_pb2.GenerateStreamRequest, context: Context
    ) -> AsyncIterator[generate_pb2.GenerateStreamResponse]:
        self.requests.append(request)
        async with aclosing(self.generate_stream(request)) as responses:
            async for response in responses:
                yield response

    async def Chat(  # noqa: N802 - named by the contract
        self, request: chat_pb2.ChatRequest, context: Context
    ) -> chat_pb2.ChatResponse:
        self.requests.append(request)
        response: chat_pb2.ChatResponse = await self.chat(request)
        return response

    async def ChatStream(  # noqa: N802 - named by the contract
        self, request: chat_pb2.ChatStreamRequest, context: Context
    ) -> AsyncIterator[chat_pb2.ChatStreamResponse]:
        self.requests.append(request)
        async with aclosing(self.chat_stream(request)) as responses:
            async for response in responses:
                yield response


@dataclass(slots=True)
class ScriptedModels(model_service_pb2_grpc.ModelServiceServicer):
    """ModelService with these models, so many on a page."""

    models: list[model_service_pb2.Model] = field(default_factory=list)
    page: int = 100

    def add_to(self, server: grpc.aio.Server) -> None:
        """Serve it."""
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(self, server)

    async def ListModels(  # noqa: N802 - named by the contract
        self, request: model_service_pb2.ListModelsRequest, context: Context
    ) -> model_service_pb2.ListModelsResponse:
        start = int(request.page_token or 0)
        end = start + self.page
        token = str(end) if end < len(self.models) else ""
        return model_service_pb2.ListModelsResponse(
            models=self.models[start:end], next_page_token=token
        )

    async def GetModel(  # noqa: N802 - named by the contract
        self, request: model_service_pb2.GetModelRequest, context: Context
    ) -> model_service_pb2.GetModelResponse:
        named = (m for m in self.models if request.name in ("", m.name))
        return model_service_pb2.GetModelResponse(model=next(named))


@dataclass(slots=True)
class ScriptedLoads(load_service_pb2_grpc.LoadServiceServicer):
    """LoadService that tells these, one after the other, and then fails if there is an error."""

    loads: list[load_service_pb2.Load] = field(default_factory=list)
    error: Exception | None = None
    intervals_ms: list[int] = field(default_factory=list)
    left: asyncio.Event = field(default_factory=asyncio.Event)

    def add_to(self, server: grpc.aio.Server) -> None:
        """Serve it."""
        load_service_pb2_grpc.add_LoadServiceServicer_to_server(self, server)

    async def GetLoad(  # noqa: N802 - named by the contract
        self, request: load_service_pb2.GetLoadRequest, context: Context
    ) -> load_service_pb2.GetLoadResponse:
        if self.error is not None:
            raise self.error
        return load_service_pb2.GetLoadResponse(load=self.loads[0])

    async def WatchLoad(  # noqa: N802 - named by the contract
        self, request: load_service_pb2.WatchLoadRequest, context: Context
    ) -> AsyncIterator[load_service_pb2.WatchLoadResponse]:
        self.intervals_ms.append(request.interval_ms)
        try:
            for load in self.loads:
                yield load_service_pb2.WatchLoadResponse(load=load)
            if self.error is not None:
                raise self.error
            await asyncio.Event().wait()
        finally:
            self.left.set()

"""The typed Python client of Steeple.

    with Client("127.0.0.1:50051") as client:
        with client.chat_stream("What is 2+2?") as stream:
            for text in stream.texts():
                print(text, end="", flush=True)

`AsyncClient` is the same for asyncio. Every failure is a `ServiceError` with a stable `reason`.
docs/client.md tells the rest by example.
"""

from steeple_client.aio import AsyncClient
from steeple_client.aio_stream import AsyncGenerationStream
from steeple_client.errors import (
    Aborted,
    AlreadyExists,
    Cancelled,
    DeadlineExpired,
    EngineFault,
    FailedPrecondition,
    InvalidRequest,
    NotFound,
    Overloaded,
    PermissionDenied,
    ServiceError,
    SettingRefused,
    Unauthenticated,
    Unavailable,
    Unsupported,
)
from steeple_client.load import EngineLoad, EngineWork, GatewayLoad, Latency, Load, ModelLoad
from steeple_client.options import ChatOptions, GenerateOptions
from steeple_client.requests import Conversation, Prompt
from steeple_client.retries import NO_RETRIES, Retries
from steeple_client.sync import Client
from steeple_client.sync_stream import GenerationStream
from steeple_client.terms import DEFAULT_TARGET
from steeple_client.values import (
    Candidate,
    Event,
    Finished,
    FinishReason,
    Generation,
    LengthPenalty,
    Message,
    Model,
    ModelEngine,
    Started,
    TextDelta,
    Token,
    Usage,
    assistant,
    system,
    user,
)
from steeple_rpc.tls.channel_tls import ChannelTls

__all__ = [
    "DEFAULT_TARGET",
    "NO_RETRIES",
    "Aborted",
    "AlreadyExists",
    "AsyncClient",
    "AsyncGenerationStream",
    "Cancelled",
    "Candidate",
    "ChannelTls",
    "ChatOptions",
    "Client",
    "Conversation",
    "DeadlineExpired",
    "EngineFault",
    "EngineLoad",
    "EngineWork",
    "Event",
    "FailedPrecondition",
    "FinishReason",
    "Finished",
    "GatewayLoad",
    "GenerateOptions",
    "Generation",
    "GenerationStream",
    "InvalidRequest",
    "Latency",
    "LengthPenalty",
    "Load",
    "Message",
    "Model",
    "ModelEngine",
    "ModelLoad",
    "NotFound",
    "Overloaded",
    "PermissionDenied",
    "Prompt",
    "Retries",
    "ServiceError",
    "SettingRefused",
    "Started",
    "TextDelta",
    "Token",
    "Unauthenticated",
    "Unavailable",
    "Unsupported",
    "Usage",
    "assistant",
    "system",
    "user",
]

"""The typed Python client of Steeple.

    with Client("127.0.0.1:50051") as client:
        for event in client.chat_stream([user("What is 2+2?")]):
            ...

Every failure is a `steeple_rpc.errors.ServiceError` with a stable `reason`.
"""

from steeple_client.aio import AsyncClient
from steeple_client.options import GenerateOptions
from steeple_client.sync import Client
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
    "AsyncClient",
    "Candidate",
    "ChannelTls",
    "Client",
    "Event",
    "FinishReason",
    "Finished",
    "GenerateOptions",
    "Generation",
    "LengthPenalty",
    "Message",
    "Model",
    "ModelEngine",
    "Started",
    "TextDelta",
    "Token",
    "Usage",
    "assistant",
    "system",
    "user",
]

"""The tokenizer service with small real tokenizers, over a real channel."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from steeple.tokenizer.v1 import tokenizer_service_pb2_grpc as pb_grpc
from steeple_rpc.channel import open_channel
from steeple_rpc.server import bind, make_server
from tests.support.templates import in_process
from tests.support.tokenizers import loaded_family, write_model
from tokenizer_svc.loader import load_tokenizer
from tokenizer_svc.service import SessionBounds, TokenizerService
from tokenizer_svc.settings import TokenizerSettings
from tokenizer_svc.tokenizer import TextBounds


class Clock:
    """Stands still until it is set."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Harness:
    """A running service, its clock, and a stub that calls it."""

    service: TokenizerService
    stub: Any  # grpc's stubs differ between sync and async
    server: grpc.aio.Server
    clock: Clock


@asynccontextmanager
async def serving_tokenizers(directory: Path) -> AsyncIterator[Harness]:
    """Serve "byte_level", "metaspace" and "plain", which cannot chat, on the socket `s` in there.

    Texts have up to 2000 tokens, sessions 600 s of the harness's clock.
    """
    clock = Clock()
    tokenizers = {name: loaded_family(name) for name in ("byte_level", "metaspace")}
    tokenizers["plain"] = load_tokenizer(
        "plain", write_model(directory / "m", chat_template=None), in_process
    )
    settings = TokenizerSettings(listen=f"unix:{directory}/s", model=("unused",))
    server = make_server(settings)
    with ThreadPoolExecutor(2) as executor:
        service = TokenizerService(
            tokenizers,
            executor,
            TextBounds(max_tokens=2000, template_cpu_s=1.0),
            SessionBounds(ttl_s=600.0, max_sessions=100),
            clock,
        )
        pb_grpc.add_TokenizerServiceServicer_to_server(service, server)
        address = bind(server, settings)
        await server.start()
        running = asyncio.create_task(service.run())
        async with open_channel(address) as channel:
            yield Harness(service, pb_grpc.TokenizerServiceStub(channel), server, clock)
        await server.stop(0)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def token(text: str) -> int:
    """The id that "byte_level" has for a token."""
    return loaded_family("byte_level").detokenizer.vocabulary.tokens.index(text)

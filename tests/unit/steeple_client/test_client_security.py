"""Either client proves who it is: by its certificate, and by the token of the moment."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc

from steeple_client import NO_RETRIES, AsyncClient, Client, Unavailable
from tests.support.answers import generate_reply, replied
from tests.support.certificates import Authority
from tests.support.client_calls import Asynchronous, Calls, Threaded, refusal
from tests.support.scripted import ScriptedInference
from tests.support.servers import serving
from tests.support.waiting import LIMIT_S


class ShownTokens(grpc.aio.ServerInterceptor):
    """Keeps what each call carries to say who calls."""

    def __init__(self) -> None:
        self.shown: list[str] = []

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:  # a handler of any method's types
        metadata = dict(handler_call_details.invocation_metadata)
        self.shown.append(str(metadata.get("authorization")))
        return await continuation(handler_call_details)


async def test_by_mutual_tls_each_call_carries_the_token_that_the_file_has(
    script: ScriptedInference, tmp_path: Path
) -> None:
    """Of both clients; who shows no certificate stays outside."""
    authority, file, tokens = Authority(tmp_path), tmp_path / "token", ShownTokens()
    script.generate = replied(generate_reply("4"))
    mutual = authority.server(mtls=True)
    async with serving(script.add_to, interceptors=[tokens], **mutual) as served:
        me = authority.client("me")
        file.write_text("first\n")
        with Client(served.address, tls=me, token=file) as client:
            async with AsyncClient(served.address, tls=me, token=file) as aclient:
                both: list[Calls] = [Threaded(client), Asynchronous(aclient)]
                for token in ("first", "the-second"):
                    file.write_text(token)
                    for calls in both:
                        assert (await calls.generate("x")).text == "4"
        assert tokens.shown == ["Bearer first"] * 2 + ["Bearer the-second"] * 2
        stranger = AsyncClient(served.address, tls=authority.client(), retries=NO_RETRIES)
        async with stranger:
            assert isinstance(await refusal(stranger.generate("x", timeout_s=LIMIT_S)), Unavailable)

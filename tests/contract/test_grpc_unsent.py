"""grpcio says by its words alone whether a call that failed was ever sent."""

import asyncio

import pytest

from steeple_client import NO_RETRIES, AsyncClient, Client, Unavailable
from steeple_client.retries import Attempts, Repeatable, Retries
from tests.support.client_calls import refusal
from tests.support.endless import EndlessAnswers
from tests.support.scripted import ScriptedInference
from tests.support.servers import serving


def is_made_again(error: Unavailable) -> bool:
    """Though nothing would tell that it computes."""
    attempts = Attempts(Retries(), Repeatable.UNTIL_SENT, ends_at_s=None)
    return attempts.pause_after(error, now_s=0.0, drawn=0.0) is not None


async def lost(target: str, *, blocking: bool = False) -> Unavailable:
    if blocking:
        with Client(target, retries=NO_RETRIES) as client:
            error = await refusal(asyncio.to_thread(client.generate, "x"))
    else:
        async with AsyncClient(target, retries=NO_RETRIES) as aclient:
            error = await refusal(aclient.generate("x"))
    assert isinstance(error, Unavailable)
    return error


@pytest.mark.parametrize("blocking", [True, False], ids=["sync", "async"])
@pytest.mark.parametrize(
    "target",
    ["127.0.0.1:1", "unix:/nowhere/at/all", "ipv4:127.0.0.1:1,127.0.0.1:2", "host.invalid:1"],
)
async def test_a_call_without_a_connection_was_never_sent(target: str, *, blocking: bool) -> None:
    assert is_made_again(await lost(target, blocking=blocking))


@pytest.mark.parametrize("blocking", [True, False], ids=["sync", "async"])
async def test_a_call_whose_connection_is_lost_may_have_been_computed(*, blocking: bool) -> None:
    answers = EndlessAnswers()
    async with serving(ScriptedInference(generate=answers.generate).add_to) as served:
        calling = asyncio.ensure_future(lost(served.address, blocking=blocking))
        await answers.begun()
        await served.server.stop(0)
        assert not is_made_again(await calling)

"""A scripted gateway, and each of the clients connected to it."""

from collections.abc import AsyncIterator

import pytest

from steeple_client import NO_RETRIES, AsyncClient, Client
from tests.support.client_calls import Asynchronous, Calls, Threaded
from tests.support.scripted import ScriptedInference, ScriptedModels
from tests.support.servers import Serving, serving


@pytest.fixture
def script() -> ScriptedInference:
    return ScriptedInference()


@pytest.fixture
def models() -> ScriptedModels:
    return ScriptedModels()


@pytest.fixture
async def served(script: ScriptedInference, models: ScriptedModels) -> AsyncIterator[Serving]:
    async with serving(script.add_to, models.add_to) as served:
        yield served


@pytest.fixture(params=["sync", "async"])
async def calls(served: Serving, request: pytest.FixtureRequest) -> AsyncIterator[Calls]:
    if request.param == "sync":
        with Client(served.address, retries=NO_RETRIES) as client:
            yield Threaded(client)
    else:
        async with AsyncClient(served.address, retries=NO_RETRIES) as client:
            yield Asynchronous(client)

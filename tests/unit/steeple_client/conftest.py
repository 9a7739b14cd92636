"""A scripted gateway, and each of the clients connected to it."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import pytest

from steeple_client import NO_RETRIES, AsyncClient, Client, Overloaded
from tests.support.answers import played
from tests.support.client_calls import Asynchronous, Calls, Threaded
from tests.support.endless import EndlessAnswers
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


@pytest.fixture
def answers() -> EndlessAnswers:
    return EndlessAnswers()


@pytest.fixture
async def endless(answers: EndlessAnswers) -> AsyncIterator[Serving]:
    """A gateway that gives them."""
    service = ScriptedInference(generate=answers.generate, generate_stream=answers.generate_stream)
    async with serving(service.add_to) as served:
        yield served


@pytest.fixture
def asked(script: ScriptedInference) -> asyncio.Event:
    """Set once a stream was asked for, and refused for a minute."""
    was_asked = asyncio.Event()

    refused = played([], Overloaded("full", retry_after_s=60.0))

    def refuse(request: Any) -> AsyncGenerator[Any, None]:
        was_asked.set()
        answer: AsyncGenerator[Any, None] = refused(request)
        return answer

    script.generate_stream = refuse
    return was_asked

"""One output over engines that come and go: who is there, and what came of it."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import structlog

from gateway.engine_run import EngineRun
from gateway.takeover import TakeoverLimits, Takeovers
from gateway.upstream_values import EngineRequest, EngineUpdate
from steeple_rpc.errors import (
    ServiceError,
)
from tests.support.gateway_fakes import (
    MODEL,
    FakeBackends,
    FakeEngine,
    FakeUpstream,
    catalog_of,
    engine_facts,
    engine_state,
)
from tests.support.resuming_engine import ResumingEngine
from tests.support.waiting import LIMIT_S

PROMPT = (10, 11, 12)
NUM_TOKENS = 8


class Pool:
    """Scripted engines that the test brings and takes away."""

    def __init__(self, *engines: ResumingEngine | FakeEngine) -> None:
        self.states = {index: engine_state(index) for index, _ in enumerate(engines)}
        upstreams = [FakeUpstream(engine) for engine in engines]  # type: ignore[arg-type] # fakes
        self.backends = FakeBackends(catalog_of(*self.states.values()), upstreams)
        self.reasons: list[str] = []
        """Why each takeover was."""

    def go(self, index: int) -> None:
        """An engine does not serve any more."""
        del self.states[index]
        self._tell()

    def come(self, index: int, **changed: Any) -> None:
        """It serves, with a new core."""
        self.states[index] = engine_state(index, **{"instance_id": "new", **changed})
        self._tell()

    def _tell(self) -> None:
        self.backends.now = catalog_of(*self.states.values())
        self.backends.changes.tell()

    @property
    def is_idle(self) -> bool:
        """Whether no engine has a request."""
        return all(upstream.num_here == 0 for upstream in self.backends.engines)


def run_of(
    pool: Pool,
    *,
    limits: TakeoverLimits | None = None,
    timeout_s: float = 60.0,
    clock: Callable[[], float] | None = None,
    max_tokens: int | None = NUM_TOKENS,
    **stopping: int,
) -> EngineRun:
    """An output of NUM_TOKENS tokens, ready to run."""
    clock = clock or asyncio.get_running_loop().time
    request = EngineRequest(
        request_id="u/0#1",
        model=MODEL,
        prompt_token_ids=PROMPT,
        sampling={"seed": 7},
        stopping=stopping if max_tokens is None else {"max_tokens": max_tokens, **stopping},
    )
    return EngineRun(
        request,
        engine_facts(),
        pool.backends,
        Takeovers(
            limits or TakeoverLimits(timeout_s=LIMIT_S),
            on_success=pool.reasons.append,
            draw=lambda: 0.0,
        ),
        clock,
        deadline_s=clock() + timeout_s,
    )


def into(updates: list[EngineUpdate]) -> Callable[[EngineUpdate], bool]:
    """Takes everything."""

    def take(update: EngineUpdate) -> bool:
        updates.append(update)
        return True

    return take


async def updates_of(run: EngineRun) -> list[EngineUpdate]:
    """All that comes of a run which ends well."""
    updates: list[EngineUpdate] = []
    with structlog.testing.capture_logs():
        async with asyncio.timeout(LIMIT_S):
            await run.run(into(updates))
    return updates


def ids(updates: list[EngineUpdate]) -> list[int]:
    """Their tokens, in order."""
    return [token for update in updates for token in update.token_ids]


async def failed(run: EngineRun) -> tuple[list[int], ServiceError]:
    """What was delivered, and the error."""
    updates: list[EngineUpdate] = []
    with structlog.testing.capture_logs(), pytest.raises(ServiceError) as caught:
        async with asyncio.timeout(LIMIT_S):
            await run.run(into(updates))
    return ids(updates), caught.value

"""A gateway's pipeline over scripted engines: what a request does to all of them."""

from contextlib import aclosing
from typing import Any

from gateway.admission import Admission
from gateway.pipeline import Pipeline
from gateway.request_limits import RequestLimits
from gateway.takeover import TakeoverLimits
from gateway.values import Event
from tests.support.gateway_fakes import (
    MODEL,
    FakeBackends,
    FakeEngine,
    FakeUpstream,
    catalog_of,
    ended,
    engine_state,
    first,
    generation_request,
    tokens,
)

MAX_REQUEST_S = 60.0


class Clock:
    """Stands still until it is set."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


class Harness:
    """A pipeline over scripted engines."""

    def __init__(self, *engines: FakeEngine) -> None:
        states = [engine_state(index) for index, _ in enumerate(engines)]
        self.engines = engines
        self.backends = FakeBackends(catalog_of(*states), [FakeUpstream(e) for e in engines])
        self.admission = Admission()
        self.clock = Clock()
        self.pipeline = Pipeline(
            self.backends,  # type: ignore[arg-type] # a fake
            self.admission,
            self.clock,
            RequestLimits(
                max_request_s=MAX_REQUEST_S,
                # What is lost is told: taking over has tests of its own.
                takeover=TakeoverLimits(max_takeovers=0),
            ),
        )

    def run(self, *, deadline_s: float | None = None, **request: Any) -> Any:
        """One request's events, a generator that the caller closes."""
        return self.pipeline.run(generation_request(**request), deadline_s)

    async def events(self, **given: Any) -> list[Event]:
        """All events of one request."""
        async with aclosing(self.run(**given)) as events:
            return [event async for event in events]

    @property
    def is_idle(self) -> bool:
        """Whether nothing of any request is left."""
        return (
            self.admission.num_live(MODEL) == 0
            and all(upstream.num_here == 0 for upstream in self.backends.engines)
            and all(engine.num_running == 0 for engine in self.engines)
            and all(session.is_closed for session in self.backends.detokenizer.sessions)
        )


def answering() -> FakeEngine:
    """An engine that answers each request with the tokens 5 and 6."""
    return FakeEngine([first(), tokens(0, 5), ended(1, 6)])


def hanging() -> FakeEngine:
    """An engine that tells one token of each request, and then nothing."""
    return FakeEngine([first(), tokens(0, 5)], hangs=True)

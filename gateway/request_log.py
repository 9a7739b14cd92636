"""One line in the log per request: what came of it, never what was in it."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from gateway.values import Event, Finished, Started, TextDelta, Usage
from steeple_rpc.errors import EngineFault, ServiceError
from steeple_rpc.telemetry import logger

_CANCELLED = "CANCELLED"


class RequestStory:
    """What is known about one request, gathered as it goes.

    Args:
        request_id: the caller's, or the one that was made for it.
        arrival: monotonic seconds.
        principal: the name of who asked; empty where nobody has to prove it.
    """

    def __init__(self, request_id: str, arrival: float, principal: str = "") -> None:
        self._arrival = arrival
        self._facts: dict[str, str | int | float] = {"public_request_id": request_id}
        if principal:
            self._facts["principal"] = principal

    def know(self, *, model: str, engine_request_id: str, num_prompt_tokens: int) -> None:
        """Where it goes, and how long its prompt is."""
        self._facts |= {
            "model": model,
            "engine_request_id": engine_request_id,
            "num_prompt_tokens": num_prompt_tokens,
        }

    def note(self, event: Event) -> None:
        """Something was told to the caller."""
        match event:
            case Started():
                pass
            case TextDelta():
                self._facts["num_completion_tokens"] = event.num_completion_tokens
            case Finished():
                self._facts["finish_reason"] = event.reason.name
            case Usage():
                self._facts |= {
                    "tokenize_ms": _ms(event.tokenize_ns),
                    "queue_ms": _ms(event.queue_ns),
                    "prefill_ms": _ms(event.prefill_ns),
                    "decode_ms": _ms(event.decode_ns),
                }

    def fail(self, reason: str) -> None:
        """It failed, unless it had finished before."""
        if "finish_reason" not in self._facts:
            self._facts["error"] = reason

    def facts(self, now: float) -> dict[str, str | int | float]:
        """All of it, by name."""
        return {**self._facts, "total_ms": round((now - self._arrival) * 1e3, 1)}


@contextmanager
def logged(story: RequestStory, clock: Callable[[], float]) -> Iterator[None]:
    """Write the story's line however the block ends."""
    try:
        yield
    except ServiceError as error:
        story.fail(error.reason)
        raise
    except (asyncio.CancelledError, GeneratorExit):
        story.fail(_CANCELLED)
        raise
    except Exception:
        story.fail(EngineFault.default_reason)
        raise
    finally:
        logger().info("request_finished", **story.facts(clock()))


def _ms(nanoseconds: int) -> float:
    return round(nanoseconds / 1e6, 1)

"""What is known of one request, for its line in the log, metrics and traces; never its content."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from gateway.outcomes import INCOMPLETE
from gateway.request_watch import RequestWatch
from gateway.values import ChatPrompt, Event, Finished, GenerationRequest, Started, TextDelta, Usage
from steeple_rpc.context import rpc_line
from steeple_rpc.errors import Cancelled, EngineFault, ServiceError
from steeple_rpc.tracing import current_trace


class RequestStory:
    """What is known about one request, gathered as it goes; the watch learns it at once.

    The log line of its RPC becomes its own: one line tells both.

    Args:
        request: checked; of it, its id and who asked are told.
        clock: monotonic seconds; the story begins now.
        watch: told what happens.
    """

    def __init__(
        self, request: GenerationRequest, clock: Callable[[], float], watch: RequestWatch
    ) -> None:
        self._clock = clock
        self._watch = watch
        self._last_delta = clock()
        self._model = ""
        self._num_prompt_tokens = 0
        self._num_tokens = 0
        self._num_takeovers = 0
        self._outcome = ""
        self._trace = current_trace()
        self._is_chat = isinstance(request.prompt, ChatPrompt)
        line = rpc_line()
        line.event = "request_finished"
        self._facts = line.facts
        self._facts["public_request_id"] = request.request_id
        if self._trace.trace_id:
            self._facts["trace_id"] = self._trace.trace_id
        if request.principal.name:
            self._facts["principal"] = request.principal.name

    @contextmanager
    def admitted(self, model: str, limit: int) -> Iterator[None]:
        """It holds one of `limit` permits of the model while in the block."""
        self._model = self._facts["model"] = model
        self._watch.admitted(model, limit=limit)
        self._trace.event("admitted")
        try:
            yield
        finally:
            self._watch.released(model)

    def know(self, *, engine_request_id: str, num_prompt_tokens: int) -> None:
        """Where it goes, and how long its prompt is."""
        self._num_prompt_tokens = num_prompt_tokens
        self._facts |= {
            "engine_request_id": engine_request_id,
            "num_prompt_tokens": num_prompt_tokens,
        }

    def taken_over(self, reason: str) -> None:
        """Its engine was lost for this reason; it goes on elsewhere."""
        self._num_takeovers += 1
        self._facts["num_takeovers"] = self._num_takeovers
        self._watch.taken_over(reason)
        self._trace.event("taken_over", {"error.type": reason})

    def note(self, event: Event) -> None:
        """Something was told to the caller."""
        match event:
            case Started():
                queue_s = event.queue_ns / 1e9
                self._watch.started(self._model, self._num_prompt_tokens, queue_s)
                self._trace.event("started")
            case TextDelta():
                self._note_tokens(event.num_completion_tokens)
            case Finished():
                self._outcome = self._facts["finish_reason"] = event.reason.name
            case Usage():
                self._watch.used(self._model, event)
                self._facts |= _times(event)

    def _note_tokens(self, num_tokens: int) -> None:
        new = num_tokens - self._num_tokens
        if new <= 0:
            return
        now = self._clock()
        self._watch.tokens(self._model, new, now - self._last_delta, is_first=self._num_tokens == 0)
        if self._num_tokens == 0:
            self._trace.event("first_token")
        self._last_delta = now
        self._num_tokens = self._facts["num_completion_tokens"] = num_tokens

    def fail(self, reason: str) -> None:
        """It failed, unless it had finished before."""
        if not self._outcome:
            self._outcome = reason

    def close(self) -> None:
        """Count it, and tell its trace."""
        self._watch.ended(self._model, self._outcome or INCOMPLETE)
        self._trace.note(self._attributes())

    def _attributes(self) -> dict[str, str | int | list[str]]:
        """What a trace tells of it, named by the conventions for generative models."""
        return {
            "gen_ai.operation.name": "chat" if self._is_chat else "text_completion",
            "gen_ai.request.model": self._model,
            "gen_ai.usage.input_tokens": self._num_prompt_tokens,
            "gen_ai.usage.output_tokens": self._num_tokens,
            "gen_ai.response.finish_reasons": [self._outcome],
        }


@contextmanager
def followed(story: RequestStory) -> Iterator[None]:
    """The request is in the block: the story ends as it does, and is closed then."""
    try:
        yield
    except ServiceError as error:
        story.fail(error.reason)
        raise
    except (asyncio.CancelledError, GeneratorExit):
        story.fail(Cancelled.default_reason)
        raise
    except Exception:
        story.fail(EngineFault.default_reason)
        raise
    finally:
        story.close()


def _times(usage: Usage) -> dict[str, str | int | float]:
    return {
        "num_cached_prompt_tokens": usage.num_cached_prompt_tokens,
        "tokenize_ms": _ms(usage.tokenize_ns),
        "queue_ms": _ms(usage.queue_ns),
        "prefill_ms": _ms(usage.prefill_ns),
        "decode_ms": _ms(usage.decode_ns),
    }


def _ms(nanoseconds: int) -> float:
    return round(nanoseconds / 1e6, 1)

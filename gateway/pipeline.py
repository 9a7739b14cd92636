"""One request's way through the gateway, inside one cancellation scope.

    resolve model → permit → prompt ids → length → engine + detokenize session → events

Leaving the scope in any way (done, stop string, client gone, deadline, error) cancels the engine's
call and closes the session.
"""

import random
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from gateway import bad_words
from gateway.admission import Admission
from gateway.backends import Backends
from gateway.catalog import EngineState
from gateway.engine_run import EngineRun
from gateway.generation import Generation
from gateway.guarded_outbox import Patience
from gateway.output import OutputFold, PromptFacts
from gateway.request_limits import RequestLimits
from gateway.request_story import RequestStory, followed
from gateway.request_watch import RequestWatch
from gateway.takeover import Takeovers
from gateway.validation import check_length, check_vocabulary
from gateway.values import (
    ChatPrompt,
    EncodedPrompt,
    Event,
    GenerationRequest,
    TextPrompt,
    TokenPrompt,
)
from steeple_rpc.errors import DeadlineExpired, Unavailable
from steeple_rpc.limits import check_token_ids


class Pipeline:
    """Runs requests. Stateless but for the live ones.

    Args:
        backends: everything behind the gateway.
        admission: who may come in.
        clock: monotonic seconds; the event loop's.
        limits: of each request.
        watch: told what becomes of requests.
    """

    def __init__(
        self,
        backends: Backends,
        admission: Admission,
        clock: Callable[[], float],
        limits: RequestLimits,
        *,
        watch: RequestWatch | None = None,
    ) -> None:
        self._backends = backends
        self._admission = admission
        self._clock = clock
        self._limits = limits
        self._watch = watch or RequestWatch()
        self._is_draining = False

    def drain(self) -> None:
        """Refuse new requests; the live ones go on."""
        self._is_draining = True

    async def run(
        self, request: GenerationRequest, deadline_s: float | None
    ) -> AsyncGenerator[Event, None]:
        """The request's events: started, deltas, finished, usage.

        Args:
            request: checked.
            deadline_s: when the caller stops waiting, on the clock; None = never.

        Raises:
            ServiceError: why it was refused or failed.
        """
        story = RequestStory(request, self._clock, self._watch)
        with followed(story):
            async with aclosing(self._admitted(request, deadline_s, story)) as events:
                async for event in events:
                    story.note(event)
                    yield event

    async def _admitted(
        self, request: GenerationRequest, deadline_s: float | None, story: RequestStory
    ) -> AsyncGenerator[Event, None]:
        """The events of a request that holds a permit."""
        if self._is_draining:
            raise Unavailable("the gateway is draining", reason="DRAINING")
        arrival = self._clock()
        deadline_s = self._latest(arrival, deadline_s)
        catalog = self._backends.catalog()
        model = catalog.resolve(request.model)
        limit = catalog.max_live(model)
        with (
            self._admission.permit(model, request.request_id, limit, request.principal),
            story.admitted(model, limit),
        ):
            promised = catalog.pick(model)
            prompt = await self._encode(request, promised, self._left(deadline_s))
            facts = PromptFacts(
                model=model,
                num_tokens=len(prompt.token_ids),
                arrival=arrival,
                tokenize_s=self._clock() - arrival,
            )
            generation = await self._generation(request, prompt, model, deadline_s)
            run = self._engine_run(generation, promised, deadline_s, story)
            story.know(
                engine_request_id=generation.engine_request_id,
                num_prompt_tokens=facts.num_tokens,
            )
            fold = OutputFold(request, facts)
            async with aclosing(self._events(generation, run, fold)) as events:
                async for event in events:
                    yield event

    def _latest(self, arrival: float, deadline_s: float | None) -> float:
        """When the request ends at the latest.

        Raises:
            DeadlineExpired: that is over.
        """
        latest = arrival + self._limits.max_request_s
        deadline_s = latest if deadline_s is None else min(deadline_s, latest)
        if deadline_s <= arrival:
            raise DeadlineExpired("the deadline was over when the request came")
        return deadline_s

    async def _generation(
        self, request: GenerationRequest, prompt: EncodedPrompt, model: str, deadline_s: float
    ) -> Generation:
        words = await self._bad_word_ids(request, model, self._left(deadline_s))
        patience = Patience(timeout_s=self._left(deadline_s), max_wait_s=self._limits.slow_client_s)
        return Generation(request, prompt, model, patience, bad_word_ids=words)

    def _engine_run(
        self, generation: Generation, promised: EngineState, deadline_s: float, story: RequestStory
    ) -> EngineRun:
        return EngineRun(
            generation.engine_request(),
            promised.facts,
            self._backends,
            Takeovers(self._limits.takeover, draw=random.random, on_success=story.taken_over),
            self._clock,
            deadline_s=deadline_s,
        )

    async def _events(
        self, generation: Generation, run: EngineRun, fold: OutputFold
    ) -> AsyncGenerator[Event, None]:
        signals = generation.signals(run, self._backends.detokenizer, self._clock)
        async with aclosing(signals) as batches:
            async for batch in batches:
                for event in fold.events(batch, self._clock()):
                    yield event

    async def _encode(
        self, request: GenerationRequest, state: EngineState, timeout_s: float
    ) -> EncodedPrompt:
        """The prompt's ids, cut to the tail that the caller wants, and short enough."""
        tokenizer, model = self._backends.tokenizer, state.facts.model
        limit = None if request.truncate_prompt_tokens else state.facts.max_model_len
        match request.prompt:
            case TextPrompt(text=text):
                prompt = await tokenizer.encode(model, text, max_tokens=limit, timeout_s=timeout_s)
            case ChatPrompt() as chat:
                prompt = await tokenizer.render_chat(
                    model, chat, max_tokens=limit, timeout_s=timeout_s
                )
            case TokenPrompt(token_ids=token_ids):
                prompt = EncodedPrompt(token_ids=token_ids, tail_start=0)
        prompt = _truncated(prompt, request.truncate_prompt_tokens)
        check_length(len(prompt.token_ids), request, state.facts.max_model_len)
        check_vocabulary(request, state.facts.vocab_size)
        if isinstance(request.prompt, TokenPrompt):
            # After the length: a million ids would be looked at for nothing.
            check_token_ids(_ids_field(request), prompt.token_ids, state.facts.vocab_size)
        return prompt

    async def _bad_word_ids(
        self, request: GenerationRequest, model: str, timeout_s: float
    ) -> tuple[tuple[int, ...], ...]:
        """Every way to write the words that must not appear: one call, and none without words."""
        words = request.bad_words
        if not words:
            return ()
        outcomes = await self._backends.tokenizer.encode_each(
            model, bad_words.spellings(words), timeout_s=timeout_s
        )
        return bad_words.sequences(words, outcomes)

    def _left(self, deadline_s: float) -> float:
        return max(0.0, deadline_s - self._clock())


def _ids_field(request: GenerationRequest) -> str:
    """What a caller's ids are called where one of them is at fault; the kept ones if only some."""
    keep = request.truncate_prompt_tokens
    return "token_ids.ids" if keep is None else f"token_ids.ids[-{keep}:]"


def _truncated(prompt: EncodedPrompt, keep: int | None) -> EncodedPrompt:
    cut = max(0, len(prompt.token_ids) - keep) if keep else 0
    return EncodedPrompt(
        token_ids=prompt.token_ids[cut:], tail_start=max(0, prompt.tail_start - cut)
    )

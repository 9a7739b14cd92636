"""What stands behind a gateway in tests: an engine and a tokenizer service by script."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from gateway.balance import EngineLoad
from gateway.catalog import Catalog, EngineState
from gateway.changes import Changes
from gateway.clients.detokenize_session import TextSink
from gateway.engine_history import EngineWork
from gateway.interruption import Interruption
from gateway.upstream_values import (
    EncodeInput,
    EngineFacts,
    EngineRequest,
    EngineUpdate,
    SessionOptions,
    TextUpdate,
    TokenizerFacts,
)
from gateway.values import (
    ChatPrompt,
    EncodedPrompt,
    FinishReason,
    GenerationRequest,
    TextPrompt,
    Token,
)
from steeple_rpc.errors import InvalidRequest, ServiceError

MODEL = "granite"
FINGERPRINT = "f" * 64
EOS = 0


def engine_facts(**changed: Any) -> EngineFacts:
    """An engine of the model with room for 100 tokens and 4 requests."""
    facts: dict[str, Any] = {
        "instance_id": "i",
        "model": MODEL,
        "architecture": "GraniteForCausalLM",
        "model_fingerprint": "m" * 64,
        "tokenizer_fingerprint": FINGERPRINT,
        "vocab_size": 1000,
        "max_model_len": 100,
        "dtype": "float32",
        "device": "cpu",
        "scheduler": "continuous",
        "max_num_seqs": 1,
        "max_num_waiting": 3,
        "default_max_tokens": 50,
        "default_sampling": {"temperature": 1.0},
        "block_size": 16,
        "num_blocks": 10,
        "weights_bytes": 1,
        "kv_cache_bytes": 2,
        "runner": "fms",
        "load_ns": 3,
        "version": "0.1.0",
    }
    return EngineFacts(**{**facts, **changed})


def engine_state(index: int = 0, *, num_requests: int = 0, **changed: Any) -> EngineState:
    """That engine with so many requests."""
    load = EngineLoad(num_here=0, num_reported=num_requests)
    facts = engine_facts(**{"instance_id": f"i{index}", **changed})
    return EngineState(index=index, facts=facts, load=load)


def tokenizer_facts(**changed: Any) -> TokenizerFacts:
    """The tokenizer that the engine agrees with."""
    facts: dict[str, Any] = {"fingerprint": FINGERPRINT, "vocab_size": 1000}
    return TokenizerFacts(**{**facts, "has_chat_template": True, **changed})


def catalog_of(*engines: EngineState, **tokenizers: TokenizerFacts) -> Catalog:
    """A catalog that has seen these engines; one tokenizer of the model if none is given."""
    return Catalog(
        engines=engines,
        tokenizers=tokenizers or {MODEL: tokenizer_facts()},
        known_models=frozenset(engine.facts.model for engine in engines),
    )


def generation_request(**changed: Any) -> GenerationRequest:
    """A request to continue a text."""
    given: dict[str, Any] = {
        "request_id": "r",
        "model": MODEL,
        "prompt": TextPrompt("abc"),
        "sampling": {"seed": 7},
        "stopping": {},
    }
    return GenerationRequest(**{**given, **changed})


def first(**changed: Any) -> EngineUpdate:
    """The engine's first message: computation began."""
    given: dict[str, Any] = {"sampling": {"seed": 7}, "stopping": {"max_tokens": 9}}
    return EngineUpdate(is_first=True, **{**given, **changed})


def tokens(position: int, *ids: int, **changed: Any) -> EngineUpdate:
    """New tokens of the engine's."""
    return EngineUpdate(first_position=position, token_ids=ids, **changed)


def ended(
    position: int, *ids: int, reason: FinishReason = FinishReason.MAX_TOKENS, **changed: Any
) -> EngineUpdate:
    """The engine's last message."""
    return tokens(position, *ids, finish_reason=reason, **changed)


@dataclass
class FakeEngine:
    """Plays its updates to each request; then fails, or hangs, or ends."""

    updates: Iterable[EngineUpdate] = ()
    error: Exception | None = None
    hangs: bool = False
    requests: list[EngineRequest] = field(default_factory=list)
    timeouts: list[float | None] = field(default_factory=list)
    num_running: int = 0
    entered: asyncio.Event = field(default_factory=asyncio.Event)
    left: asyncio.Event = field(default_factory=asyncio.Event)

    async def generate(
        self, request: EngineRequest, timeout_s: float | None, take: Callable[[EngineUpdate], bool]
    ) -> None:
        self.requests.append(request)
        self.timeouts.append(timeout_s)
        self.num_running += 1
        try:
            for update in self.updates:
                if not take(update):
                    return
            self.entered.set()
            if self.error is not None:
                raise self.error
            if self.hangs:
                await asyncio.Event().wait()
        finally:
            self.num_running -= 1
            self.left.set()


@dataclass
class FakeSession:
    """One output: every id n becomes the text "<n>"; `stop_at` matches the stop string "STOP"."""

    options: SessionOptions
    sink: TextSink
    stop_at: int | None = None
    answers: bool = True
    pushes: list[tuple[int, tuple[int, ...], bool]] = field(default_factory=list)
    asides: list[tuple[int, ...]] = field(default_factory=list)
    num_received: int = 0
    is_closed: bool = False
    is_over: bool = False

    def push(
        self,
        first_position: int,
        token_ids: tuple[int, ...],
        *,
        final: bool,
        aside_ids: tuple[int, ...] = (),
    ) -> None:
        self.pushes.append((first_position, token_ids, final))
        self.asides.append(aside_ids)
        if self.is_over or not self.answers:
            return
        if first_position != self.num_received:
            self._end(InvalidRequest("gap", reason="OUT_OF_ORDER"))
            return
        matched = self.stop_at in token_ids
        told = token_ids[: token_ids.index(self.stop_at)] if matched else token_ids
        self.num_received += len(told) + matched
        update = TextUpdate(
            text="".join(f"<{i}>" for i in told),
            num_consumed=self.num_received,
            tokens=tuple(Token(token_id=i, text=f"<{i}>") for i in told if self._wants_tokens),
            aside_texts={i: f"({i})" for i in aside_ids},
            matched_stop="STOP" if matched else None,
            is_final=final,
        )
        if self.sink.put(update, 1) and (matched or final):
            self._end(None)

    @property
    def _wants_tokens(self) -> bool:
        return self.options.token_texts

    def _end(self, error: ServiceError | None) -> None:
        self.is_over = True
        self.sink.close(error)

    def close(self) -> None:
        self.is_closed = True


@dataclass
class FakeDetokenizer:
    """Opens such sessions and keeps them."""

    stop_at: int | None = None
    answers: bool = True
    error: ServiceError | None = None
    sessions: list[FakeSession] = field(default_factory=list)

    @property
    def num_sessions(self) -> int:
        return sum(not session.is_over for session in self.sessions)

    def check_ready(self) -> None:
        if self.error is not None:
            raise self.error

    def open(self, options: SessionOptions, updates: TextSink) -> FakeSession:
        self.check_ready()
        session = FakeSession(options, updates, self.stop_at, self.answers)
        self.sessions.append(session)
        return session


@dataclass
class FakeTokenizer:
    """One id per character; calls `before` while it encodes. EOS is no text, "!" no prompt."""

    before: Callable[[], object] = lambda: None
    error: ServiceError | None = None
    limits: list[int | None] = field(default_factory=list)
    batches: list[Sequence[EncodeInput] | Sequence[Sequence[int]]] = field(default_factory=list)
    timeouts: list[float | None] = field(default_factory=list)

    async def encode(
        self, model: str, text: str, *, max_tokens: int | None, timeout_s: float | None
    ) -> EncodedPrompt:
        self.before()
        self.limits.append(max_tokens)
        return _encoded(text)

    async def encode_each(
        self, model: str, inputs: Sequence[EncodeInput], *, timeout_s: float | None
    ) -> list[EncodedPrompt | ServiceError]:
        self.batches.append(inputs)
        self.timeouts.append(timeout_s)
        return [
            InvalidRequest("no prompt", field="text") if item.text == "!" else _encoded(item.text)
            for item in inputs
        ]

    async def render_chat(
        self, model: str, chat: ChatPrompt, *, max_tokens: int | None, timeout_s: float | None
    ) -> EncodedPrompt:
        if self.error is not None:
            raise self.error
        self.timeouts.append(timeout_s)
        text = "".join(part for message in chat.messages for part in message.parts)
        return await self.encode(model, text, max_tokens=max_tokens, timeout_s=timeout_s)

    async def decode_each(
        self,
        model: str,
        sequences: Sequence[Sequence[int]],
        *,
        skip_special_tokens: bool,
        timeout_s: float | None,
    ) -> list[str | ServiceError]:
        self.batches.append(sequences)
        self.timeouts.append(timeout_s)
        return [
            InvalidRequest("no text", field="ids")
            if EOS in ids and not skip_special_tokens
            else "".join(map(chr, ids))
            for ids in sequences
        ]


def _encoded(text: str) -> EncodedPrompt:
    ids = tuple(map(ord, text))
    return EncodedPrompt(token_ids=ids, tail_start=max(0, len(ids) - 2))


@dataclass
class FakeUpstream:
    """An engine as the pipeline finds it."""

    client: FakeEngine
    num_here: int = 0
    facts: EngineFacts | None = field(default_factory=engine_facts)
    work: EngineWork | None = None
    stall: Interruption = field(default_factory=Interruption)

    @property
    def load(self) -> EngineLoad:
        return EngineLoad(num_here=self.num_here, num_reported=None)

    @asynccontextmanager
    async def attempt(self) -> AsyncIterator[None]:
        self.num_here += 1
        try:
            async with self.stall.block():
                yield
        finally:
            self.num_here -= 1


@dataclass
class FakeBackends:
    """Everything behind the gateway, as the test sets it."""

    now: Catalog
    engines: list[FakeUpstream]
    tokenizer: FakeTokenizer = field(default_factory=FakeTokenizer)
    detokenizer: FakeDetokenizer = field(default_factory=FakeDetokenizer)
    changes: Changes = field(default_factory=Changes)

    def catalog(self) -> Catalog:
        return self.now

"""Wherever and however often an output is cut, it comes out as if nothing had cut it."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.catalog import Catalog
from gateway.clients.detokenize_session import Session
from gateway.engine_run import EngineRun
from gateway.takeover import TakeoverLimits, Takeovers
from gateway.upstream_values import EngineRequest, EngineUpdate, SessionOptions, TextUpdate
from gateway.values import FinishReason
from steeple.tokenizer.v1.detokenize_pb2 import DetokenizeRequest, SessionCommand, SessionUpdate
from steeple_rpc.errors import ServiceError
from tests.support.gateway_fakes import (
    MODEL,
    FakeBackends,
    FakeUpstream,
    catalog_of,
    engine_facts,
    engine_state,
)
from tests.support.resuming_engine import Life, ResumingEngine, answer, lost
from tests.support.tokenizers import FAMILIES, loaded_family
from tokenizer_svc import conversion
from tokenizer_svc.detokenize.sessions import SessionTable
from tokenizer_svc.tokenizer import TextBounds

families = pytest.mark.parametrize("family", sorted(FAMILIES))
# Shared cores: a deadline per example would measure the neighbours.
BOUNDS = TextBounds(max_tokens=4096, template_cpu_s=1.0)
TEXTS = (
    "👩‍👩‍👧‍👦 and 🦊🇩🇪",
    "你好 世界。今天",
    " two  spaces , don't",
    "END ENDS EN D",
    "e\u0301\u200d",
)
STOPS = ("END", " sp", "世界", "🦊", "N D")


@pytest.fixture(scope="module", autouse=True)
def trained() -> None:
    """Train all tokenizers before examples are drawn and timed."""
    for family in FAMILIES:
        loaded_family(family)


class ReplacedEngine(ResumingEngine):
    """Each attempt finds a new core, which serves at once."""

    def __init__(self, lives: list[Life]) -> None:
        super().__init__(lives)
        self.backends = FakeBackends(self._serving(), [FakeUpstream(self)])  # type: ignore[arg-type] # a fake
        self.on_loss = self._replace

    def _serving(self) -> Catalog:
        return catalog_of(engine_state(0, instance_id=f"i{len(self.requests)}"))

    def _replace(self) -> None:
        self.backends.now = self._serving()


async def _run(engine: ReplacedEngine, request: EngineRequest) -> list[EngineUpdate]:
    clock = asyncio.get_running_loop().time
    takeovers = Takeovers(TakeoverLimits(max_takeovers=len(engine.lives)), draw=lambda: 0.0)
    run = EngineRun(
        request, engine_facts(), engine.backends, takeovers, clock, deadline_s=clock() + 60
    )
    updates: list[EngineUpdate] = []

    def take(update: EngineUpdate) -> bool:
        updates.append(update)
        return True

    await run.run(take)
    return updates


@given(data=st.data())
def test_tokens_do_not_tell_how_often_the_engine_was_lost(data: st.DataObject) -> None:
    """Chunks, prefixes and reasons of the loss are drawn; the ids are the uncut answer's."""
    prompt = tuple(data.draw(st.lists(st.integers(0, 999), min_size=1, max_size=5)))
    num_tokens = data.draw(st.integers(1, 20))
    reasons = st.sampled_from(["ENGINE_LOST", "ENGINE_STALLED", "DRAINING", "STARTING"])
    life = st.builds(
        Life,
        num_tokens=st.integers(0, num_tokens - 1),
        error=reasons.map(lost),
        chunk=st.integers(1, 4),
        starts=st.booleans(),
    )
    lives = [*data.draw(st.lists(life, max_size=4)), Life(chunk=data.draw(st.integers(1, 4)))]
    engine = ReplacedEngine(lives)
    request = EngineRequest(
        request_id="u/0#1",
        model=MODEL,
        prompt_token_ids=prompt,
        sampling={"seed": 1},
        stopping={"max_tokens": num_tokens},
    )
    updates = asyncio.run(_run(engine, request))
    assert [i for update in updates for i in update.token_ids] == answer(prompt, num_tokens)
    assert updates[-1].finish_reason is FinishReason.MAX_TOKENS
    assert sum(update.finish_reason is not None for update in updates) == 1


@dataclass
class Told:
    """All that a session told."""

    updates: list[TextUpdate] = field(default_factory=list)
    is_closed: bool = False

    def put(self, item: TextUpdate, size_bytes: int) -> bool:
        self.updates.append(item)
        return True

    def close(self, error: ServiceError | None = None) -> None:
        assert error is None
        self.is_closed = True

    @property
    def whole(self) -> tuple[object, ...]:
        """Text, tokens, count and stop: what may not depend on cuts."""
        return (
            "".join(update.text for update in self.updates),
            [token for update in self.updates for token in update.tokens],
            self.updates[-1].num_consumed,
            self.updates[-1].matched_stop,
        )


class Line:
    """A gateway's session and a tokenizer service; what is on its way between them can be lost."""

    def __init__(self, family: str, options: SessionOptions) -> None:
        self._family = family
        self.told = Told()
        self._commands: list[SessionCommand] = []
        self._updates: list[SessionUpdate] = []
        self.session = Session(
            1,
            options,
            self.told,
            fingerprint="f",
            send=self._commands.append,
            forget=lambda _: None,
        )
        self.session.is_on_stream = True
        self._begin()

    def lose(self) -> None:
        """The service dies with all that was on its way; another one takes its place."""
        if not self.is_over:
            self._begin()

    def work(self) -> None:
        """The service does what it has been told."""
        request = DetokenizeRequest(commands=self._commands)
        self._commands.clear()
        updates = self._table.apply(conversion.commands_of(request), 0.0)
        self._updates += conversion.detokenize_response(updates).updates

    def deliver(self) -> None:
        """The gateway hears what the service has told."""
        for update in self._updates:
            assert not update.HasField("error"), update.error.message
            if not self.is_over:
                self.session.take(update)
        self._updates.clear()

    @property
    def is_over(self) -> bool:
        """Whether the gateway has heard the end."""
        last = self.told.updates[-1:]
        return any(update.is_final or update.matched_stop is not None for update in last)

    def _begin(self) -> None:
        detokenizer = loaded_family(self._family).detokenizer
        self._table = SessionTable(lambda _: detokenizer, ttl_s=60, max_sessions=9)
        self._updates.clear()
        self._commands[:] = self.session.opening()


def _played(
    family: str,
    options: SessionOptions,
    chunks: Sequence[Sequence[int]],
    cut: Callable[[Line], None],
) -> tuple[object, ...]:
    line = Line(family, options)
    position = 0
    for number, chunk in enumerate(chunks):
        is_last = number == len(chunks) - 1
        line.session.push(position, tuple(chunk), final=is_last, aside_ids=tuple(chunk[:2]))
        position += len(chunk)
        cut(line)
    line.work()
    line.deliver()
    assert line.is_over
    return line.told.whole


@families
@given(data=st.data())
def test_text_does_not_tell_how_often_the_tokenizer_was_lost(
    family: str, data: st.DataObject
) -> None:
    """With commands or updates on their way, in a character, in a stop string."""
    tokenizer = loaded_family(family)
    ids: list[int] = []
    for _ in range(data.draw(st.integers(0, 3))):
        ids += tokenizer.encode(
            data.draw(st.sampled_from(TEXTS)), BOUNDS, add_special_tokens=False
        ).ids
    ids += data.draw(st.lists(st.integers(0, tokenizer.info.vocab_size - 1), max_size=4))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(ids)), max_size=6)))
    chunks = [ids[a:b] for a, b in zip([0, *cuts], [*cuts, len(ids)], strict=True)]
    options = SessionOptions(
        model="m",
        prompt_tail_ids=tuple(data.draw(st.permutations(ids))[:3]),
        stop=tuple(data.draw(st.lists(st.sampled_from(STOPS), max_size=2, unique=True))),
        min_tokens=data.draw(st.integers(0, 4)),
        skip_special_tokens=data.draw(st.booleans()),
        include_stop_in_output=data.draw(st.booleans()),
        token_texts=True,
    )

    def uncut(line: Line) -> None:
        line.work()
        line.deliver()

    def cut(line: Line) -> None:
        for happens in data.draw(
            st.lists(st.sampled_from(["work", "deliver", "lose"]), max_size=4)
        ):
            getattr(line, happens)()

    assert _played(family, options, chunks, cut) == _played(family, options, chunks, uncut)

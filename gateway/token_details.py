"""Log-probabilities on their way: they come with the ids and leave with their token's text. Pure.

The engine tells a token's odds before the tokenizer service tells its text, which may wait for the
rest of a character or of a stop string. What a stop string discards is never told.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import replace

from gateway.upstream_values import EngineUpdate, TextUpdate, TokenLogprobs
from gateway.values import Candidate, Token
from steeple_rpc.errors import EngineFault

_MAX_IDLE_TEXTS = 4096
"""Texts of candidates that are kept although nothing may need them any more."""


class TokenDetails:
    """The log-probabilities of one output that are not told yet, in the order of its tokens."""

    def __init__(self) -> None:
        self._waiting: deque[TokenLogprobs] = deque()
        self._texts: dict[int, str] = {}

    def expect(self, update: EngineUpdate) -> None:
        """Take what the engine tells of its new tokens.

        Raises:
            EngineFault: it does not tell it of each.
        """
        if len(update.logprobs) != len(update.token_ids):
            raise EngineFault("the engine told tokens without their odds", reason="BAD_ENGINE")
        self._waiting += update.logprobs

    def know(self, update: TextUpdate) -> None:
        """Take the candidates' own texts."""
        self._texts.update(update.aside_texts)

    def of(self, tokens: Iterable[Token]) -> tuple[Token, ...]:
        """The next tokens of the output with all that was wanted about them."""
        told = tuple(self._detailed(token) for token in tokens)
        self._forget_texts()
        return told

    def _detailed(self, token: Token) -> Token:
        if not self._waiting:
            raise EngineFault("a token came without its odds", reason="BAD_ENGINE")
        odds = self._waiting.popleft()
        top = sorted(odds.top, key=lambda candidate: -candidate[1])
        return replace(
            token,
            logprob=odds.logprob,
            rank=odds.rank,
            top=tuple(Candidate(token_id=i, text=self._texts[i], logprob=p) for i, p in top),
        )

    def _forget_texts(self) -> None:
        if not self._waiting:
            self._texts.clear()
        elif len(self._texts) > _MAX_IDLE_TEXTS:
            needed = {token_id for odds in self._waiting for token_id, _ in odds.top}
            self._texts = {i: text for i, text in self._texts.items() if i in needed}

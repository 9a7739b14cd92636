"""Bad words: token sequences that the output must not contain.

A word's last token is forbidden where the tokens before it have just been produced. Only output
counts: a word that begins in the prompt and would end in the output is not forbidden, since the
output alone does not contain it.
"""

from collections import deque
from collections.abc import Sequence

import numpy as np

from engine_svc.core.outputs import SampleSpec
from engine_svc.core.params import TokenId
from engine_svc.core.sampling.arrays import Floats
from engine_svc.core.sampling.processors.base import LogitsProcessor

_Word = tuple[TokenId, ...]


class BadWords:
    """Remembers as much of the output as the longest word needs."""

    def __init__(self, words: Sequence[_Word]) -> None:
        self._always = np.array([word[0] for word in words if len(word) == 1], dtype=np.int64)
        self._by_last_read: dict[TokenId, list[_Word]] = {}
        for word in words:
            if len(word) > 1:
                self._by_last_read.setdefault(word[-2], []).append(word)
        self._tail: deque[TokenId] = deque(maxlen=max(map(len, words)) - 1)

    def append(self, token_id: TokenId) -> None:
        """The window moves on."""
        self._tail.append(token_id)

    def apply(self, logits: Floats, spec: SampleSpec) -> None:  # noqa: ARG002 - the protocol's
        """Forbid whatever would complete a word."""
        logits[self._always] = -np.inf
        if not self._tail:
            return
        tail = tuple(self._tail)
        for word in self._by_last_read.get(tail[-1], ()):
            if tail[1 - len(word) :] == word[:-1]:
                logits[word[-1]] = -np.inf


def bad_words(spec: SampleSpec, prompt: Sequence[TokenId]) -> LogitsProcessor | None:  # noqa: ARG001 - see above
    """Where there are bad words."""
    words = spec.sampling.bad_word_ids
    return BadWords(words) if words else None

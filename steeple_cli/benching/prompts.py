"""The prompts of a load."""

import random
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Protocol

from steeple_cli.planning.lengths import Lengths
from steeple_client import Message
from steeple_rpc.refused import SettingRefused

MAX_DRAWS = 1000
Prompt = str | tuple[int, ...] | tuple[Message, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A prompt and the length of the answer to it."""

    prompt: Prompt
    max_tokens: int


class Prompts(Protocol):
    """Prompts without end."""

    def take(self) -> Asked:
        """The next one."""


class DrawnPrompts:
    """Token ids at random, of lengths from two distributions, as far as the context has room.

    Args:
        prompt_lens: tokens of a prompt.
        output_lens: tokens of an answer.
        max_model_len: both together; longer pairs are drawn again.
        vocab_size: ids are below it.
        num_shared: with so many ids, the same in all, every prompt begins; a shorter one is a part
            of them.
        seed: the same seed gives the same prompts.
    """

    def __init__(
        self,
        *,
        prompt_lens: Lengths,
        output_lens: Lengths,
        max_model_len: int,
        vocab_size: int,
        num_shared: int,
        seed: int,
    ) -> None:
        self._prompt_lens = prompt_lens
        self._output_lens = output_lens
        self._max_model_len = max_model_len
        self._vocab_size = vocab_size
        # A stream for each use: other output lengths do not change what is asked.
        self._ids, self._prompts, self._outputs = (
            random.Random(f"{seed}/{use}")  # noqa: S311 - a load, not a secret
            for use in ("ids", "prompt", "output")
        )
        self._shared = self._drawn(num_shared)

    def take(self) -> Asked:
        """The next one.

        Raises:
            SettingRefused: the distributions hardly ever give what fits the context.
        """
        for _ in range(MAX_DRAWS):
            prompt_len = self._prompt_lens.draw(self._prompts)
            max_tokens = self._output_lens.draw(self._outputs)
            if prompt_len + max_tokens <= self._max_model_len:
                return Asked(prompt=self._prompt(prompt_len), max_tokens=max_tokens)
        raise SettingRefused(
            f"the model's context has {self._max_model_len} tokens; none of {MAX_DRAWS} pairs drawn"
            " from --prompt-lens and --output-lens fits it: make them shorter"
        )

    def _prompt(self, length: int) -> tuple[int, ...]:
        return self._shared[:length] + self._drawn(length - len(self._shared))

    def _drawn(self, number: int) -> tuple[int, ...]:
        """So many ids; none for a negative number."""
        number = max(0, number)
        words = struct.unpack(f"<{number}I", self._ids.randbytes(4 * number))
        return tuple(word % self._vocab_size for word in words)


class GivenPrompts:
    """The prompts of a file, again and again.

    Args:
        given: at least one; those without a length have None.
        output_lens: of those.
        seed: of these draws.
    """

    def __init__(
        self, given: Sequence[tuple[Prompt, int | None]], output_lens: Lengths, seed: int
    ) -> None:
        self._given = cycle(given)
        self._output_lens = output_lens
        self._draw = random.Random(f"{seed}/output")  # noqa: S311 - a load, not a secret

    def take(self) -> Asked:
        """The next one."""
        prompt, max_tokens = next(self._given)
        drawn = self._output_lens.draw(self._draw)
        return Asked(prompt=prompt, max_tokens=max_tokens or drawn)

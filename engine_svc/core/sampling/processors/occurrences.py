"""Presence and frequency penalties: subtracted from the logits of tokens of the output.

Source: their definition in OpenAI's API reference, which counts the output and not the prompt.
"""

from collections.abc import Sequence

from engine_svc.core.outputs import SampleSpec
from engine_svc.core.params import TokenId
from engine_svc.core.sampling.arrays import Floats
from engine_svc.core.sampling.processors.base import LogitsProcessor, put
from engine_svc.core.sampling.processors.token_counts import TokenCounts


class OccurrencePenalties:
    """Subtracts `presence` once and `frequency` once per occurrence."""

    def __init__(self, *, presence: float, frequency: float) -> None:
        self._presence = presence
        self._frequency = frequency
        self._output = TokenCounts()

    def append(self, token_id: TokenId) -> None:
        """One more occurrence."""
        self._output.append(token_id)

    def apply(self, logits: Floats, spec: SampleSpec) -> None:  # noqa: ARG002 - the protocol's
        """Penalise the output's tokens."""
        ids, counts = self._output.ids, self._output.counts
        put(logits, ids, logits[ids] - (self._presence + self._frequency * counts))


def occurrences(spec: SampleSpec, prompt: Sequence[TokenId]) -> LogitsProcessor | None:  # noqa: ARG001 - the protocol's
    """Where one of the penalties is not 0."""
    presence = spec.sampling.presence_penalty
    frequency = spec.sampling.frequency_penalty
    if presence == 0.0 and frequency == 0.0:
        return None
    return OccurrencePenalties(presence=presence, frequency=frequency)

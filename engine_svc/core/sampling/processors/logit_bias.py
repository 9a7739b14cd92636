"""Logit bias: a number added to the logits of tokens that the request names."""

from collections.abc import Sequence

import numpy as np

from engine_svc.core.outputs import SampleSpec
from engine_svc.core.params import TokenId
from engine_svc.core.sampling.arrays import Floats
from engine_svc.core.sampling.processors.base import LogitsProcessor, put


class LogitBias:
    """Adds the same numbers at every position."""

    def __init__(self, bias: Sequence[tuple[TokenId, float]]) -> None:
        self._ids = np.array([token for token, _ in bias], dtype=np.int64)
        self._bias = np.array([value for _, value in bias], dtype=np.float64)

    def append(self, token_id: TokenId) -> None:
        """Nothing changes."""

    def apply(self, logits: Floats, spec: SampleSpec) -> None:  # noqa: ARG002 - the protocol's
        """Add them."""
        put(logits, self._ids, logits[self._ids] + self._bias)


def logit_bias(spec: SampleSpec, prompt: Sequence[TokenId]) -> LogitsProcessor | None:  # noqa: ARG001 - the protocol's
    """Where some token has a bias."""
    bias = spec.sampling.logit_bias
    return LogitBias(bias) if bias else None

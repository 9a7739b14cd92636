"""Length penalty: end tokens become likelier, exponentially, with every token beyond a length.

The growth is that of the logit's distance from 0, so that negative logits rise too, as in
transformers' ExponentialDecayLengthPenalty.
"""

import math
from collections.abc import Sequence

import numpy as np

from engine_svc.core.outputs import SampleSpec
from engine_svc.core.params import LengthPenalty, TokenId
from engine_svc.core.sampling.arrays import Floats
from engine_svc.core.sampling.processors.base import LogitsProcessor, put

_MAX_LOG_GROWTH = 200.0
"""Beyond this every logit but 0 exceeds single precision."""


class GrowingEnd:
    """Counts the output and lifts the end tokens."""

    def __init__(self, penalty: LengthPenalty, eos_token_ids: Sequence[TokenId]) -> None:
        self._start = penalty.start_index
        self._log_factor = math.log(penalty.decay_factor)
        self._ids = np.array(eos_token_ids, dtype=np.int64)
        self._num_output = 0

    def append(self, token_id: TokenId) -> None:  # noqa: ARG002 - the protocol's
        """Whatever it is."""
        self._num_output += 1

    def apply(self, logits: Floats, spec: SampleSpec) -> None:  # noqa: ARG002 - likewise
        """Lift them by |logit| * (factor ** tokens beyond the start - 1)."""
        beyond = self._num_output - self._start
        if beyond <= 0:
            return
        growth = math.expm1(min(beyond * self._log_factor, _MAX_LOG_GROWTH))
        known = np.nan_to_num(logits[self._ids].astype(np.float64), neginf=0.0)
        put(logits, self._ids, known + np.abs(known) * growth)


def length_penalty(spec: SampleSpec, prompt: Sequence[TokenId]) -> LogitsProcessor | None:  # noqa: ARG001 - see above
    """Where one is set, and there are end tokens to lift."""
    penalty = spec.sampling.length_penalty
    if penalty is None or not spec.eos_token_ids:
        return None
    return GrowingEnd(penalty, tuple(dict.fromkeys(spec.eos_token_ids)))

"""Repetition penalty: tokens of the prompt and the output become less likely, or likelier.

Source: Keskar et al., "CTRL" (2019), section 4.1, with the sign of the logit taken into account as
transformers' RepetitionPenaltyLogitsProcessor does.
"""

from collections.abc import Sequence

import numpy as np

from engine_svc.core.outputs import SampleSpec
from engine_svc.core.params import TokenId
from engine_svc.core.sampling.arrays import Floats
from engine_svc.core.sampling.processors.base import LogitsProcessor, put
from engine_svc.core.sampling.processors.token_counts import TokenCounts


class RepetitionPenalty:
    """Divides positive logits and multiplies negative ones, once however often a token came."""

    def __init__(self, penalty: float, prompt: Sequence[TokenId]) -> None:
        self._penalty = penalty
        self._seen = TokenCounts(prompt)

    def append(self, token_id: TokenId) -> None:
        """It has come."""
        self._seen.append(token_id)

    def apply(self, logits: Floats, spec: SampleSpec) -> None:  # noqa: ARG002 - the protocol's
        """Penalise all that came."""
        ids = self._seen.ids
        known = logits[ids].astype(np.float64)
        put(logits, ids, np.where(known < 0.0, known * self._penalty, known / self._penalty))


def repetition(spec: SampleSpec, prompt: Sequence[TokenId]) -> LogitsProcessor | None:
    """Where the penalty is not 1."""
    penalty = spec.sampling.repetition_penalty
    return None if penalty == 1.0 else RepetitionPenalty(penalty, prompt)

"""Minimum length: the scheduler names the tokens that must not come yet; see `core.finish`."""

from collections.abc import Sequence

import numpy as np

from engine_svc.core.outputs import SampleSpec
from engine_svc.core.params import TokenId
from engine_svc.core.sampling.arrays import Floats
from engine_svc.core.sampling.processors.base import LogitsProcessor


class MinTokens:
    """Forbids what each step names."""

    def append(self, token_id: TokenId) -> None:
        """The scheduler counts."""

    def apply(self, logits: Floats, spec: SampleSpec) -> None:
        """Forbid them."""
        logits[list(spec.banned_token_ids)] = -np.inf


def min_tokens(spec: SampleSpec, prompt: Sequence[TokenId]) -> LogitsProcessor | None:  # noqa: ARG001 - the protocol's
    """Where something is still forbidden: later nothing new will be."""
    return MinTokens() if spec.banned_token_ids else None

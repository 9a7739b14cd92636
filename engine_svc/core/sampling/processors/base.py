"""The seam to what changes logits.

A processor is a pure fold over a request's parameters, its prompt and its output: whoever reads the
same tokens has the same state. So a state is never saved; it is read again.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from engine_svc.core.outputs import SampleSpec
from engine_svc.core.params import TokenId
from engine_svc.core.sampling.arrays import Doubles, Floats, Ids

_GREATEST = float(np.finfo(np.float32).max)


class LogitsProcessor(Protocol):
    """One thing that one request asks for."""

    def append(self, token_id: TokenId) -> None:
        """Read the next token of the output."""

    def apply(self, logits: Floats, spec: SampleSpec) -> None:
        """Change a row [vocab] in place; -inf forbids a token, and what is forbidden stays so.

        Costs nothing that grows with the length of the output.
        """


MakeProcessor = Callable[[SampleSpec, Sequence[TokenId]], LogitsProcessor | None]
"""Makes the processor for a request and its prompt; None where nothing is asked of it."""


def put(logits: Floats, ids: Ids, values: Doubles) -> None:
    """Store new logits of some tokens, all but the forbidden ones.

    What single precision cannot hold becomes its greatest number: no parameter makes a row that
    the model computed well unusable.

    Args:
        logits: [vocab]
        ids: [num_ids] distinct.
        values: [num_ids] anything for forbidden tokens.
    """
    possible = logits[ids] > -np.inf
    logits[ids[possible]] = np.clip(values[possible], -_GREATEST, _GREATEST)

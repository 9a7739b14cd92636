"""What stands in for a model in the fake runner: logits from tokens alone, chosen from as usual.

Imported late: a fake that only echoes needs no torch.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import torch

from engine_svc.core.outputs import RunnerOutput, ScheduledSequence
from engine_svc.core.params import RequestId, TokenId
from engine_svc.core.runner.fake_logits import fake_logits
from engine_svc.core.sampling.answer import answer
from engine_svc.core.sampling.sampler import Sampler


class FakeModel:
    """Speaks the first tokens of a vocabulary.

    Args:
        vocab_size: tokens that there are.
        eos_token_id: spoken too, wherever it stands.
    """

    def __init__(self, *, vocab_size: int, eos_token_id: TokenId) -> None:
        self._vocab_size = vocab_size
        self._eos_token_id = eos_token_id
        self._sampler = Sampler()

    def forget(self, request_ids: Iterable[RequestId]) -> None:
        """Drop what is kept for requests that have ended."""
        self._sampler.forget(request_ids)

    def answer(
        self, sequences: Sequence[ScheduledSequence], histories: Sequence[Sequence[TokenId]]
    ) -> RunnerOutput:
        """Choose the next tokens.

        Args:
            sequences: those that want one.
            histories: the tokens of each.
        """
        if not sequences:
            return RunnerOutput(token_ids={})
        logits = [
            fake_logits(history, vocab_size=self._vocab_size, eos_token_id=self._eos_token_id)
            for history in histories
        ]
        return answer(self._sampler, sequences, torch.from_numpy(np.stack(logits)))

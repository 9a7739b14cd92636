"""From logits to tokens: the same row gives the same token in any batch.

What is kept between steps follows from the tokens of each request and can be lost at any time.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from engine_svc.core.outputs import RowFault, SampleSpec, TokenLogprobs
from engine_svc.core.params import RequestId, TokenId
from engine_svc.core.sampling.arrays import Floats
from engine_svc.core.sampling.candidates import candidates, draw
from engine_svc.core.sampling.logprobs import token_logprobs
from engine_svc.core.sampling.philox import Purpose, uniforms
from engine_svc.core.sampling.row_processors import RowProcessors

NON_FINITE_LOGITS = RowFault(
    reason="NON_FINITE_LOGITS",
    message="the model computed no usable probabilities for the next token",
)
NO_TOKEN_LEFT = RowFault(
    reason="NO_TOKEN_LEFT",
    message="the request's own bans (bad_words, min_tokens) leave no token to choose",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleRow:
    """What one row of logits is for."""

    request_id: RequestId
    spec: SampleSpec
    position: int
    """Where the token goes: with seed and output_index it decides the random number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What was chosen for a row."""

    token_id: TokenId
    logprobs: TokenLogprobs | None = None
    """Where they were asked for."""


class Sampler:
    """Chooses tokens. Remembers how far it has read each request that asks for processors."""

    def __init__(self) -> None:
        self._processors: dict[RequestId, RowProcessors] = {}

    def forget(self, request_ids: Iterable[RequestId]) -> None:
        """Drop what is kept for requests that have ended."""
        for request_id in request_ids:
            self._processors.pop(request_id, None)

    def sample(self, logits: Tensor, rows: Sequence[SampleRow]) -> list[Choice | RowFault]:
        """Choose one token per row.

        The request's processors come first. Greedy rows then take the greatest logit, of equal
        ones the lowest id; the others draw from what temperature, top_k, typical_p, top_p and
        min_p leave, in double precision.

        Args:
            logits: [num_rows, vocab], any float type; not written to.
            rows: one per row.

        Returns:
            Per row its choice, or NON_FINITE_LOGITS where the logits hold NaN or +inf, or nothing
            above -inf, or NO_TOKEN_LEFT where the request has forbidden all that the model left.
        """
        if not rows:
            return []
        best = logits.max(dim=-1)  # NaN wins; of equal logits the first
        usable: list[bool] = best.values.isfinite().tolist()
        greedy: list[TokenId] = best.indices.tolist()
        numbers = _uniforms(rows)
        chosen: list[Choice | RowFault] = []
        for idx, row in enumerate(rows):
            if not usable[idx]:
                chosen.append(NON_FINITE_LOGITS)
            elif idx not in numbers and not _changes_logits(row.spec) and not row.spec.logprobs:
                chosen.append(Choice(token_id=greedy[idx]))
            else:
                chosen.append(self._choose(_on_cpu(logits[idx]), row, numbers.get(idx)))
        return chosen

    def _choose(self, raw: Floats, row: SampleRow, number: float | None) -> Choice | RowFault:
        """Choose from one row, which is not written to; greedy without a random number."""
        spec, logits = row.spec, raw
        if _changes_logits(spec):
            logits = raw.copy()
            self._processors_of(row).apply(logits, spec)
        best = int(logits.argmax())
        if logits[best] == -np.inf:
            return NO_TOKEN_LEFT
        token = best if number is None else draw(candidates(logits, spec.sampling), number)
        told = None if spec.logprobs is None else token_logprobs(raw, token, spec.logprobs)
        return Choice(token_id=token, logprobs=told)

    def _processors_of(self, row: SampleRow) -> RowProcessors:
        if (known := self._processors.get(row.request_id)) is not None:
            return known
        return self._processors.setdefault(row.request_id, RowProcessors(row.spec))


def _changes_logits(spec: SampleSpec) -> bool:
    """Whether some processor has something to do; where none has, a row costs nothing extra."""
    sampling = spec.sampling
    return bool(spec.banned_token_ids or sampling.logit_bias) or sampling.looks_back


def _on_cpu(logits: Tensor) -> Floats:
    """One row [vocab] in single precision; maybe the tensor's own memory."""
    # numpy on one core: a few operations on one row are not worth waking torch's threads.
    return logits.detach().to("cpu", torch.float32).numpy()


def _uniforms(rows: Sequence[SampleRow]) -> dict[int, float]:
    """A random number for each row that is not greedy, by its index."""
    drawn = [(idx, row) for idx, row in enumerate(rows) if not row.spec.sampling.is_greedy]
    if not drawn:
        return {}
    seeds = np.array([row.spec.sampling.seed for _, row in drawn], dtype=np.uint64)
    positions = np.array([row.position for _, row in drawn], dtype=np.uint64)
    outputs = np.array([row.spec.output_index for _, row in drawn], dtype=np.uint64)
    numbers = uniforms(seeds, positions=positions, output_indices=outputs, purpose=Purpose.TOKEN)
    return {idx: float(number) for (idx, _), number in zip(drawn, numbers, strict=True)}

"""From logits to tokens. No state: the same row gives the same token in any batch."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from engine_svc.core.outputs import RowFault, SampleSpec
from engine_svc.core.params import TokenId
from engine_svc.core.sampling.candidates import candidates, draw
from engine_svc.core.sampling.philox import Purpose, uniforms

NON_FINITE_LOGITS = RowFault(
    reason="NON_FINITE_LOGITS",
    message="the model computed no usable probabilities for the next token",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleRow:
    """What one row of logits is for."""

    spec: SampleSpec
    position: int
    """Where the token goes: with seed and output_index it decides the random number."""


def sample(logits: Tensor, rows: Sequence[SampleRow]) -> list[TokenId | RowFault]:
    """Choose one token per row.

    Banned tokens are removed first. Greedy rows take the greatest logit, of equal ones the lowest
    id. The others draw from what temperature, top_k, top_p and min_p leave, in double precision.

    Args:
        logits: [num_rows, vocab], any float type; not written to.
        rows: one per row.

    Returns:
        Per row its token, or the fault where the logits hold NaN or +inf, or nothing above -inf.
    """
    if not rows:
        return []
    allowed = _without_banned(logits, rows)
    best = allowed.max(dim=-1)  # NaN wins; of equal logits the first
    usable = best.values.isfinite().tolist()
    chosen: list[TokenId | RowFault] = list(best.indices.tolist())
    drawn = [idx for idx, row in enumerate(rows) if not row.spec.sampling.is_greedy]
    if drawn:
        draws = _uniforms([rows[idx] for idx in drawn])
        for idx, uniform in zip(drawn, draws, strict=True):
            if usable[idx]:
                chosen[idx] = _draw(allowed[idx], rows[idx].spec, uniform)
    return [
        token if is_usable else NON_FINITE_LOGITS
        for token, is_usable in zip(chosen, usable, strict=True)
    ]


def _draw(logits: Tensor, spec: SampleSpec, uniform: float) -> TokenId:
    # numpy on one core: a few operations on one row are not worth waking torch's threads.
    row = logits.to("cpu", torch.float32, copy=True).numpy()  # [vocab]
    return draw(candidates(row, spec.sampling), uniform)


def _uniforms(rows: Sequence[SampleRow]) -> list[float]:
    seeds = np.array([row.spec.sampling.seed for row in rows], dtype=np.uint64)
    positions = np.array([row.position for row in rows], dtype=np.uint64)
    outputs = np.array([row.spec.output_index for row in rows], dtype=np.uint64)
    numbers = uniforms(seeds, positions=positions, output_indices=outputs, purpose=Purpose.TOKEN)
    return [float(number) for number in numbers]


def _without_banned(logits: Tensor, rows: Sequence[SampleRow]) -> Tensor:
    banned = [(idx, token) for idx, row in enumerate(rows) for token in row.spec.banned_token_ids]
    if not banned:
        return logits
    allowed = logits.clone()
    indices = torch.tensor(banned, device=logits.device).T  # [2, num_banned]
    allowed[indices[0], indices[1]] = -torch.inf
    return allowed

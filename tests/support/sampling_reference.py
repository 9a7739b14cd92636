"""How a token is chosen, written a second time: in double precision, slowly, one step per line.

Imports nothing of what it judges but the values that say what was asked for.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from engine_svc.core.params import SamplingParams, TokenId

Doubles = NDArray[np.float64]
Ids = Sequence[TokenId]


def reference_logits(
    logits: Doubles,
    params: SamplingParams,
    *,
    prompt: Ids = (),
    output: Ids = (),
    banned: Ids = (),
    eos: Ids = (),
) -> Doubles:
    """What the request makes of a model's logits [vocab]."""
    row = np.array(logits, dtype=np.float64)
    _bias_and_ban(row, params, output, banned)
    _penalise(row, params, prompt, output)
    lengthy = params.length_penalty
    if lengthy is not None and (beyond := len(output) - lengthy.start_index) > 0:
        for token in set(eos):
            if row[token] > -np.inf:
                row[token] += abs(row[token]) * (lengthy.decay_factor**beyond - 1)
    return row


def _bias_and_ban(row: Doubles, params: SamplingParams, output: Ids, banned: Ids) -> None:
    for token, bias in params.logit_bias:
        row[token] += bias
    for word in params.bad_word_ids:
        start = len(output) - (len(word) - 1)
        if start >= 0 and list(output[start:]) == list(word[:-1]):
            row[word[-1]] = -np.inf
    for token in banned:
        row[token] = -np.inf


def _penalise(row: Doubles, params: SamplingParams, prompt: Ids, output: Ids) -> None:
    for token in {*prompt, *output}:
        penalty = params.repetition_penalty
        row[token] = row[token] * penalty if row[token] < 0 else row[token] / penalty
    for token in set(output):
        row[token] -= params.presence_penalty
        row[token] -= params.frequency_penalty * list(output).count(token)


def reference_probabilities(row: Doubles, params: SamplingParams) -> Doubles:
    """[vocab] how likely each token is drawn, after all filters."""
    if params.temperature == 0.0:
        one_hot = np.zeros(len(row))
        one_hot[int(np.argmax(row))] = 1.0
        return one_hot
    shares = _softmax(row / params.temperature)
    if 0 < params.top_k < len(row):
        border = sorted(row.tolist())[-params.top_k]
        shares = _only(shares, row >= border)
    if params.typical_p < 1.0:
        shares = _only(shares, _typical(shares, params.typical_p))
    if params.top_p < 1.0:
        shares = _only(shares, _nucleus(shares, params.top_p))
    if params.min_p > 0.0:
        shares = _only(shares, shares >= params.min_p * shares.max())
    return shares


def reference_logprobs(logits: Doubles) -> Doubles:
    """[vocab] natural log-probabilities."""
    shifted: Doubles = logits - logits.max()
    log_shares: Doubles = shifted - np.log(np.exp(shifted).sum())
    return log_shares


def reference_rank(logits: Doubles, token: TokenId) -> int:
    """1 = nothing is likelier."""
    return 1 + sum(1 for other in logits.tolist() if other > logits[token])


def _typical(shares: Doubles, mass: float) -> NDArray[np.bool_]:
    surprise = [-np.log(share) if share > 0 else np.inf for share in shares]
    entropy = sum(s * i for s, i in zip(shares, surprise, strict=True) if s > 0)
    distance = np.array([abs(i - entropy) for i in surprise])
    reached, border = 0.0, 0.0
    for token in sorted(range(len(shares)), key=lambda token: (distance[token], token)):
        border = distance[token]
        reached += shares[token]
        if reached >= mass:
            break
    kept: NDArray[np.bool_] = (distance <= border) & (shares > 0)
    return kept


def _nucleus(shares: Doubles, mass: float) -> NDArray[np.bool_]:
    kept = np.zeros(len(shares), dtype=np.bool_)
    reached = 0.0
    for token in sorted(range(len(shares)), key=lambda token: (-shares[token], token)):
        kept[token] = True
        reached += shares[token]
        if reached >= mass:
            break
    return kept


def _softmax(row: Doubles) -> Doubles:
    weights = np.exp(row - row.max())
    shares: Doubles = weights / weights.sum()
    return shares


def _only(shares: Doubles, kept: NDArray[np.bool_]) -> Doubles:
    left = np.where(kept, shares, 0.0)
    renormalised: Doubles = left / left.sum()
    return renormalised

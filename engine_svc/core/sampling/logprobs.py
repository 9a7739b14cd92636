"""Log-probabilities: what the model itself thought, whatever the request made of it."""

import numpy as np

from engine_svc.core.outputs import TokenLogprobs
from engine_svc.core.params import LogprobsParams, TokenId
from engine_svc.core.sampling.arrays import Floats, Ids
from engine_svc.core.sampling.greatest import nth_greatest


def token_logprobs(logits: Floats, chosen: TokenId, asked: LogprobsParams) -> TokenLogprobs:
    """The log-softmax of a row, in single precision, where it was asked for.

    Args:
        logits: [vocab] as the model computed them; the greatest is finite.
        chosen: the token produced.
        asked: which others.
    """
    with np.errstate(over="ignore"):  # further apart than single precision reaches: -inf
        shifted = logits - logits.max()
    # Summed in double precision: the order of a long sum would show in the last digits.
    log_sum = np.float32(np.log(np.exp(shifted).sum(dtype=np.float64)))
    ids = asked.token_ids or _likeliest(logits, asked.num_top).tolist()
    return TokenLogprobs(
        logprob=float(shifted[chosen] - log_sum),
        rank=1 + int(np.count_nonzero(logits > logits[chosen])),
        top=tuple((token, float(shifted[token] - log_sum)) for token in ids),
    )


def _likeliest(logits: Floats, number: int) -> Ids:
    """The ids of the greatest logits, greatest first, of equals the lowest id first."""
    number = min(number, len(logits))
    if number == 0:
        return np.empty(0, dtype=np.int64)
    ids = np.flatnonzero(logits >= nth_greatest(logits, number))
    return ids[np.argsort(-logits[ids], kind="stable")[:number]]

"""The sampler as most tests see it: rows in, tokens out."""

from collections.abc import Sequence

from torch import Tensor

from engine_svc.core.outputs import RowFault
from engine_svc.core.params import TokenId
from engine_svc.core.sampling.sampler import Sampler, SampleRow


def chosen(logits: Tensor, rows: Sequence[SampleRow]) -> list[TokenId | RowFault]:
    """What a sampler that has seen nothing chooses; its log-probabilities left out."""
    results = Sampler().sample(logits, rows)
    return [result if isinstance(result, RowFault) else result.token_id for result in results]

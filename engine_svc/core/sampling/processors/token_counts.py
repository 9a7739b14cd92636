"""How often each token has come, as arrays that grow without being built again."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from engine_svc.core.params import TokenId
from engine_svc.core.sampling.arrays import Doubles, Ids

_FIRST_CAPACITY = 64


class TokenCounts:
    """Distinct tokens in the order of their first occurrence, with their counts."""

    def __init__(self, token_ids: Sequence[TokenId] = ()) -> None:
        counts = Counter(token_ids)
        self._places = {token: place for place, token in enumerate(counts)}
        capacity = max(_FIRST_CAPACITY, 2 * len(counts))
        self._ids = np.zeros(capacity, dtype=np.int64)
        self._counts = np.zeros(capacity, dtype=np.float64)
        self._ids[: len(counts)] = list(counts)
        self._counts[: len(counts)] = list(counts.values())

    def append(self, token_id: TokenId) -> None:
        """Count one more; constant time on average."""
        place = self._places.setdefault(token_id, len(self._places))
        if place == len(self._ids):
            self._ids = np.concatenate((self._ids, np.zeros_like(self._ids)))
            self._counts = np.concatenate((self._counts, np.zeros_like(self._counts)))
        self._ids[place] = token_id
        self._counts[place] += 1.0

    @property
    def ids(self) -> Ids:
        """[num_distinct]; only to be read."""
        return self._ids[: len(self._places)]

    @property
    def counts(self) -> Doubles:
        """[num_distinct]; only to be read."""
        return self._counts[: len(self._places)]

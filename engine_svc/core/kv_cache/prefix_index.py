"""Which block holds which prefix. Only this file finds blocks by their tokens.

The key of a block covers all tokens from the start of the sequence to its end: a digest chained
from block to block, started by a scope (who may share: salt, adapter, media), and its own tokens.
Keys are equal only if both are: a found chain of blocks is verified token by token.
"""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

from engine_svc.core.params import BlockId, TokenId

_DIGEST_BYTES = 16


@dataclass(frozen=True, slots=True)
class PrefixKey:
    """What a full block holds and what comes before it."""

    digest: bytes
    """Of scope and tokens up to the end of this block."""
    token_ids: tuple[TokenId, ...] = field(hash=False)
    """Of this block."""


def extend_keys(
    keys: list[PrefixKey], token_ids: Sequence[TokenId], block_size: int, *, scope: bytes = b""
) -> None:
    """Add the keys of all full blocks of `token_ids` that `keys` lacks.

    Args:
        keys: of the first blocks of the same sequence.
        token_ids: the sequence from its start.
        block_size: positions per block.
        scope: equal where blocks may be shared.
    """
    for first in range(len(keys) * block_size, len(token_ids) - block_size + 1, block_size):
        tokens = tuple(token_ids[first : first + block_size])
        before = keys[-1].digest if keys else scope
        packed = array("I", tokens).tobytes()
        keys.append(PrefixKey(blake2b(before + packed, digest_size=_DIGEST_BYTES).digest(), tokens))


class PrefixIndex:
    """Full blocks by key. Several blocks may hold the same tokens; the oldest one is found."""

    def __init__(self) -> None:
        self._blocks: dict[PrefixKey, dict[BlockId, None]] = {}
        self._keys: dict[BlockId, PrefixKey] = {}

    def __len__(self) -> int:
        return len(self._keys)

    def publish(self, block: BlockId, key: PrefixKey) -> None:
        """Let a full, computed block be found."""
        self._blocks.setdefault(key, {})[block] = None
        self._keys[block] = key

    def forget(self, block: BlockId) -> None:
        """Let a published block not be found any longer."""
        key = self._keys.pop(block)
        del self._blocks[key][block]
        if not self._blocks[key]:
            del self._blocks[key]

    def find(self, keys: Sequence[PrefixKey]) -> tuple[BlockId, ...]:
        """The blocks of the longest known prefix."""
        found = []
        for key in keys:
            blocks = self._blocks.get(key)
            if blocks is None:
                break
            found.append(next(iter(blocks)))
        return tuple(found)

"""Which block holds which prefix. Only this file finds blocks by their tokens.

A key stands for all tokens from the start of a sequence to the end of one block, within a scope
(who may share: salt, adapter, media). There is one key object per such prefix: keys are looked up
by a digest chained from block to block and verified by everything that it stands for (the key of
the block before, or the scope, and the block's own tokens). A collision of digests is no hit.
"""

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from weakref import WeakValueDictionary

from engine_svc.core.params import BlockId, TokenId

_DIGEST_BYTES = 16

Digest = Callable[[bytes], bytes]
"""Digests what comes before a block and its tokens."""


def blake2b_digest(data: bytes) -> bytes:
    """128 bits of BLAKE2b."""
    return blake2b(data, digest_size=_DIGEST_BYTES).digest()


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class PrefixKey:
    """A prefix that ends with a full block; equal only to itself."""

    digest: bytes
    """Of scope and tokens up to the end of this block."""
    token_ids: tuple[TokenId, ...]
    """Of this block."""
    before: "PrefixKey | bytes"
    """The key of the block before; the scope, for the first one."""


class PrefixIndex:
    """Full blocks by key. Several blocks may hold the same tokens; the oldest one is found.

    Args:
        digest: how blocks are digested; the default is the one to use.
    """

    def __init__(self, digest: Digest = blake2b_digest) -> None:
        self._digest = digest
        # A key lives as long as a request or a block has it, and keeps those before it alive.
        self._living: WeakValueDictionary[tuple[object, ...], PrefixKey] = WeakValueDictionary()
        self._blocks: dict[PrefixKey, dict[BlockId, None]] = {}
        self._keys: dict[BlockId, PrefixKey] = {}

    def __len__(self) -> int:
        return len(self._keys)

    def extend_keys(
        self,
        keys: list[PrefixKey],
        token_ids: Sequence[TokenId],
        block_size: int,
        *,
        scope: bytes = b"",
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
            keys.append(self._key(keys[-1] if keys else scope, tokens))

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

    def blocks_of(self, key: PrefixKey) -> tuple[BlockId, ...]:
        """All blocks that can be found by a key."""
        return tuple(self._blocks.get(key, ()))

    def _key(self, before: PrefixKey | bytes, tokens: tuple[TokenId, ...]) -> PrefixKey:
        """The one key of a prefix."""
        start = before.digest if isinstance(before, PrefixKey) else before
        digest = self._digest(start + array("I", tokens).tobytes())
        place = (digest, tokens, before)
        key = self._living.get(place)
        if key is None:
            key = self._living[place] = PrefixKey(digest, tokens, before)
        return key

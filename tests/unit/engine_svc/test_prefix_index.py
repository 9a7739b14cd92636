"""Blocks are found by all tokens up to their end, within a scope."""

from engine_svc.core.kv_cache.prefix_index import PrefixIndex, PrefixKey
from engine_svc.core.params import BlockId


def keys_of(index: PrefixIndex, tokens: list[int], scope: bytes = b"") -> list[PrefixKey]:
    """Keys of the full blocks of four tokens."""
    keys: list[PrefixKey] = []
    index.extend_keys(keys, tokens, 4, scope=scope)
    return keys


def found(index: PrefixIndex, tokens: list[int], scope: bytes = b"") -> tuple[BlockId, ...]:
    """The blocks of the longest known prefix of these tokens."""
    return index.find(keys_of(index, tokens, scope))


def published(tokens: list[int], *blocks: int, index: PrefixIndex | None = None) -> PrefixIndex:
    """An index that knows one sequence."""
    index = index or PrefixIndex()
    for block, key in zip(blocks, keys_of(index, tokens), strict=True):
        index.publish(BlockId(block), key)
    return index


def test_only_full_blocks_have_keys_and_keys_grow_with_the_sequence() -> None:
    """Extending in two goes equals extending at once."""
    index = PrefixIndex()
    keys = keys_of(index, [1, 2, 3, 4, 5])
    assert len(keys) == 1
    index.extend_keys(keys, [1, 2, 3, 4, 5, 6, 7, 8], 4, scope=b"")
    assert keys == keys_of(index, [1, 2, 3, 4, 5, 6, 7, 8])


def test_the_longest_known_prefix_is_found() -> None:
    """Up to the first block that differs."""
    index = published([1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 9], 3, 5, 7)
    assert found(index, [1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0]) == (3, 5)
    assert found(index, [2, 2, 3, 4, 5, 6, 7, 8]) == ()


def test_equal_tokens_after_another_start_are_another_prefix() -> None:
    """The same second block behind a different first one is not found."""
    index = published([1, 2, 3, 4, 5, 6, 7, 8], 1, 2)
    assert found(index, [5, 6, 7, 8]) == ()


def test_a_scope_shares_with_nobody_else() -> None:
    """Salted keys differ from the first block on."""
    index = published([1, 2, 3, 4], 1)
    assert found(index, [1, 2, 3, 4], scope=b"salt") == ()


def test_equal_digests_of_different_prefixes_are_different_keys() -> None:
    """A collision of digests is no hit: own tokens, those before, and the scope are compared."""
    index = published([1, 2, 3, 4, 5, 6, 7, 8], 1, 2, index=PrefixIndex(lambda _: b"same"))
    published([9, 9, 9, 9], 3, index=index)
    assert found(index, [1, 2, 3, 4, 5, 6, 7, 8]) == (1, 2)
    assert found(index, [9, 9, 9, 9, 5, 6, 7, 8]) == (3,)
    assert found(index, [1, 2, 3, 4, 6, 6, 6, 6]) == (1,)
    assert found(index, [1, 2, 3, 4], scope=b"salt") == ()


def test_keys_that_nobody_has_are_forgotten() -> None:
    """Memory follows requests and blocks, not all prefixes that ever were."""
    index = published([1, 2, 3, 4, 5, 6, 7, 8], 1, 2)
    assert len(index._living) == 2
    index.forget(BlockId(1))
    assert len(index._living) == 2  # the second key stands for both blocks
    index.forget(BlockId(2))
    assert len(index._living) == 0


def test_the_oldest_of_equal_blocks_is_found_until_it_is_forgotten() -> None:
    """Then the next; then none."""
    index = PrefixIndex()
    (key,) = keys_of(index, [1, 2, 3, 4])
    for block in (6, 2):
        index.publish(BlockId(block), key)
    assert index.find([key]) == (6,)
    assert index.blocks_of(key) == (6, 2)
    index.forget(BlockId(6))
    assert index.find([key]) == (2,)
    index.forget(BlockId(2))
    assert index.find([key]) == ()
    assert len(index) == 0

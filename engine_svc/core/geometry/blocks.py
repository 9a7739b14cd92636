"""Whole blocks. Spyre's paged attention knows one block size."""

BLOCK_SIZE = 64
"""Positions per block. Source: the Spyre compiler; fixed in vllm-spyre and sendnn-inference."""


def num_blocks(length: int) -> int:
    """Blocks that hold `length` positions."""
    return -(-length // BLOCK_SIZE)


def round_up(length: int) -> int:
    """The next block border at or after `length`."""
    return BLOCK_SIZE * num_blocks(length)


def round_down(length: int) -> int:
    """The last block border at or before `length`."""
    return length // BLOCK_SIZE * BLOCK_SIZE

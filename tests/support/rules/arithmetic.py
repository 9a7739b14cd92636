"""Rounding to whole blocks."""


def blocks(num_positions: int, block_size: int) -> int:
    """Blocks that `num_positions` positions fill or begin."""
    return (num_positions + block_size - 1) // block_size


def ceil64(num_positions: int) -> int:
    """Rounded up to whole device blocks, in positions."""
    return blocks(num_positions, 64) * 64

"""Which warm-up shape a batch has.

Source: vllm-spyre's static batching scheduler and its runner's choice of a shape (to 1.10).
"""

from collections.abc import Sequence

from engine_svc.core.batching import WarmupShape


def fitting(
    shapes: Sequence[WarmupShape], *, prompt_len: int, new_tokens: int, num_seated: int = 0
) -> tuple[WarmupShape, ...]:
    """The shapes, in their order, that take one more request.

    Args:
        shapes: to choose from.
        prompt_len: tokens to compute before the first new one.
        new_tokens: most that are produced.
        num_seated: requests that are in the batch already.
    """
    return tuple(
        shape
        for shape in shapes
        if prompt_len <= shape.prompt_len
        and new_tokens <= shape.new_tokens
        and num_seated < shape.batch_size
    )


def max_batch_size(shapes: Sequence[WarmupShape]) -> int:
    """The largest batch of any of the shapes."""
    return max(shape.batch_size for shape in shapes)

"""Which policy reads which option. An option that would be ignored is refused by name."""

import re
from collections.abc import Mapping

from engine_svc.core.batching import WarmupShape

MAX_SHAPE_NUMBER = 1 << 20
_MIN_NEW_TOKENS = 2
_SHAPE = re.compile(r"(\d{1,7}):(\d{1,7}):(\d{1,7})", re.ASCII)

# Warm-up shapes say how long and how many.
_UNSHAPED = ("continuous", "spyre_continuous", "spyre_chunked")
READ_BY: Mapping[str, tuple[str, ...]] = {
    "max_model_len": _UNSHAPED,
    "max_num_seqs": _UNSHAPED,
    "max_num_batched_tokens": ("continuous", "spyre_chunked"),
    "warmup_shapes": ("static",),
    "join": ("spyre_continuous",),
    "max_batch_tkv": ("spyre_continuous", "spyre_chunked"),
    "min_decode_rows": ("spyre_continuous", "spyre_chunked"),
    "interleave": ("spyre_chunked",),
    "over_limit": ("spyre_chunked",),
    "pause_order": ("spyre_chunked",),
    "prefix_caching": ("continuous", "spyre_chunked"),
}
"""Options that not every policy reads."""


def check_read(option: str, policy: str) -> None:
    """Refuse an option that the policy would ignore.

    Args:
        option: a name of READ_BY.
        policy: the chosen one. One that this table does not know may read anything.

    Raises:
        ValueError: names the policies that read it.
    """
    readers = READ_BY[option]
    is_known = any(policy in names for names in READ_BY.values())
    if is_known and policy not in readers:
        raise ValueError(f"the policy {policy} does not read it; these do: {', '.join(readers)}")


def parse_shapes(text: str) -> tuple[WarmupShape, ...]:
    """Warm-up shapes from "prompt:new:batch,prompt:new:batch", in the order given.

    Raises:
        ValueError: a shape is malformed or given twice; names it.
    """
    shapes = tuple(_parse_shape(part) for part in text.split(","))
    for shape in shapes:
        if shapes.count(shape) > 1:
            raise ValueError(f"the shape {shape} is there twice")
    return shapes


def _parse_shape(part: str) -> WarmupShape:
    found = _SHAPE.fullmatch(part.strip())
    numbers = [int(number) for number in found.groups()] if found else [0]
    if not all(1 <= number <= MAX_SHAPE_NUMBER for number in numbers):
        raise ValueError(
            f"{part.strip()!r} is not prompt:new:batch, three numbers from 1 to"
            f" {MAX_SHAPE_NUMBER}, as in 64:20:4"
        )
    prompt_len, new_tokens, batch_size = numbers
    if new_tokens < _MIN_NEW_TOKENS:
        raise ValueError(f"the shape {part.strip()} needs at least {_MIN_NEW_TOKENS} new tokens")
    return WarmupShape(prompt_len=prompt_len, new_tokens=new_tokens, batch_size=batch_size)

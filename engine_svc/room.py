"""How many tokens a request may produce, per policy: what the policy could never run is refused.

    room = the largest max_tokens that the policy accepts for a prompt, 0 or less if none

The policies refuse the same (`Scheduler.capacity`); here it is known before a request is sent to
the core, and an unset max_tokens takes it.
"""

from collections.abc import Callable, Mapping

from engine_svc.core.batching import fastest_first
from engine_svc.core.messages import EngineInfo
from steeple_rpc.limits import UINT32_MAX


def room_for(info: EngineInfo, num_prefill_tokens: int) -> int:
    """The most new tokens after so many tokens of prompt and prior output; <= 0 if none."""
    return min(
        info.max_model_len - num_prefill_tokens,
        _ROOMS.get(info.scheduler, _context)(info, num_prefill_tokens),
    )


def rule_of(info: EngineInfo) -> str:
    """What the room comes from, in words for the caller."""
    return _RULES.get(info.scheduler, _context_rule)(info)


def max_batch_tkv(info: EngineInfo) -> int:
    """Most of rows * KV length in a decode step of the Spyre policies."""
    most = info.batching.max_batch_tkv or info.max_num_seqs * info.max_model_len
    return min(most, UINT32_MAX)


def _context(info: EngineInfo, num_tokens: int) -> int:
    return info.max_model_len - num_tokens


def _static(info: EngineInfo, num_tokens: int) -> int:
    """The longest answer of a shape that takes the prompt."""
    fitting = (s.new_tokens for s in info.batching.shapes if num_tokens <= s.prompt_len)
    return max(fitting, default=0)


def _spyre_continuous(info: EngineInfo, num_tokens: int) -> int:
    """The prompt is padded to whole blocks; the last token is never computed."""
    padded = -(-num_tokens // info.block_size) * info.block_size
    return min(info.max_model_len, _lone_tkv(info)) - padded + 1


def _spyre_chunked(info: EngineInfo, num_tokens: int) -> int:
    return _lone_tkv(info) - num_tokens + 1


def _lone_tkv(info: EngineInfo) -> int:
    """The longest KV length of a row that decodes alone, copies counted."""
    return max_batch_tkv(info) // info.batching.min_decode_rows


def _context_rule(info: EngineInfo) -> str:
    return f"the context is {info.max_model_len}"


def _static_rule(info: EngineInfo) -> str:
    shapes = ", ".join(map(str, fastest_first(info.batching.shapes)))
    return f"the shapes (prompt:new:batch) are {shapes}"


def _padded_rule(info: EngineInfo) -> str:
    return f"{_volume_rule(info)}, and prompts are padded to {info.block_size}"


def _volume_rule(info: EngineInfo) -> str:
    lone = _lone_tkv(info)
    limit = f", of which a batch takes {lone}" if lone < info.max_model_len else ""
    return f"{_context_rule(info)}{limit}"


_ROOMS: Mapping[str, Callable[[EngineInfo, int], int]] = {
    "continuous": _context,
    "static": _static,
    "spyre_continuous": _spyre_continuous,
    "spyre_chunked": _spyre_chunked,
}
_RULES: Mapping[str, Callable[[EngineInfo], str]] = {
    "continuous": _context_rule,
    "static": _static_rule,
    "spyre_continuous": _padded_rule,
    "spyre_chunked": _volume_rule,
}

"""What can be asked of a generation; the contract's defaults where a name is left out."""

from collections.abc import Sequence
from typing import TypedDict


class GenerateOptions(TypedDict, total=False):
    """Keyword arguments of every generating call. Ranges: common/v1/sampling.proto."""

    model: str
    """Served name; may be left out where exactly one model is served."""
    request_id: str
    temperature: float
    """0 = greedy."""
    top_k: int
    top_p: float
    min_p: float
    seed: int
    max_tokens: int
    min_tokens: int
    stop: Sequence[str]
    stop_token_ids: Sequence[int]
    ignore_eos: bool
    include_stop_in_output: bool
    skip_special_tokens: bool
    token_details: bool
    truncate_prompt_tokens: int
    priority: int
    """-1000 to 1000, lower goes first; left out = 0."""
    timeout_s: float
    """Seconds after which the call ends DEADLINE_EXCEEDED; left out = the server's limit."""

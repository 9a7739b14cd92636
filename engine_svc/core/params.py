"""What a request asks for, with every default filled in and every number checked."""

from dataclasses import dataclass
from enum import Enum
from typing import NewType

RequestId = NewType("RequestId", str)
BlockId = NewType("BlockId", int)
TokenId = int


class FinishReason(Enum):
    """Why an output ended. Values travel between the front and the core."""

    EOS = "eos"
    STOP_TOKEN = "stop_token"  # noqa: S105 - not a password
    MAX_TOKENS = "max_tokens"
    CONTEXT_LENGTH = "context_length"
    TIME_LIMIT = "time_limit"
    ABORTED = "aborted"


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingParams:
    """How the next token is chosen. Ranges: `common/v1/sampling.proto`."""

    temperature: float = 1.0
    """0 = greedy."""
    top_k: int = 0
    """0 = off."""
    top_p: float = 1.0
    min_p: float = 0.0
    seed: int = 0
    """64 bits; unused when greedy."""

    @property
    def is_greedy(self) -> bool:
        """Whether the likeliest token is taken, without any randomness."""
        return self.temperature == 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StoppingParams:
    """When an output ends."""

    max_tokens: int
    """At least 1; prompt + max_tokens <= max_model_len."""
    min_tokens: int = 0
    """At most max_tokens: fewer output tokens never end by a token."""
    eos_token_ids: tuple[TokenId, ...] = ()
    """The model's own end tokens; empty where the request ignores them."""
    stop_token_ids: tuple[TokenId, ...] = ()
    """The request's end tokens."""

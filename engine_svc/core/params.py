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
class LengthPenalty:
    """The end of sequence becomes likelier with every token beyond a length."""

    start_index: int
    """Output tokens before the growth starts."""
    decay_factor: float
    """At least 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingParams:
    """How the next token is chosen. Ranges: `common/v1/sampling.proto`."""

    temperature: float = 1.0
    """0 = greedy."""
    top_k: int = 0
    """0 = off."""
    top_p: float = 1.0
    min_p: float = 0.0
    typical_p: float = 1.0
    seed: int = 0
    """64 bits; unused when greedy."""
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    length_penalty: LengthPenalty | None = None
    logit_bias: tuple[tuple[TokenId, float], ...] = ()
    """Each token at most once."""
    bad_word_ids: tuple[tuple[TokenId, ...], ...] = ()
    """Sequences that must not appear in the output; none empty."""

    @property
    def is_greedy(self) -> bool:
        """Whether the likeliest token is taken, without any randomness."""
        return self.temperature == 0.0

    @property
    def looks_back(self) -> bool:
        """Whether the next token depends on earlier ones by more than the model."""
        return (
            self.repetition_penalty != 1.0
            or self.presence_penalty != 0.0
            or self.frequency_penalty != 0.0
            or self.length_penalty is not None
            or bool(self.bad_word_ids)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LogprobsParams:
    """Which log-probabilities are told beside each output token's own."""

    num_top: int = 0
    """Of the likeliest tokens so many."""
    token_ids: tuple[TokenId, ...] = ()
    """Of exactly these tokens, instead."""


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
    time_limit_s: float | None = None
    """Seconds from acceptance after which the output so far is the result; None = none."""

"""What calls take and give: frozen values, no wire messages."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum


class FinishReason(Enum):
    """Why an output ended."""

    EOS = "eos"
    STOP_STRING = "stop_string"
    STOP_TOKEN = "stop_token"  # noqa: S105 - not a password
    MAX_TOKENS = "max_tokens"
    CONTEXT_LENGTH = "context_length"
    TIME_LIMIT = "time_limit"
    ABORTED = "aborted"
    OTHER = "other"
    """One that the server knows and this client does not."""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation; see `user`, `assistant` and `system`."""

    role: str
    text: str


def user(text: str) -> Message:
    """A turn of the person."""
    return Message("user", text)


def assistant(text: str) -> Message:
    """A turn of the model."""
    return Message("assistant", text)


def system(text: str) -> Message:
    """The frame of the conversation."""
    return Message("system", text)


@dataclass(frozen=True, slots=True, kw_only=True)
class LengthPenalty:
    """The end of sequence becomes likelier with every token beyond a length."""

    start_index: int
    """Output tokens before the growth starts."""
    decay_factor: float
    """1 to 10, per further token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A token that could have been produced."""

    token_id: int
    text: str
    logprob: float
    """Natural log-probability under the raw logits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """One output token and its own text."""

    token_id: int
    text: str
    logprob: float | None = None
    """As a candidate's; only where log-probabilities were asked for."""
    rank: int | None = None
    """1 = no token was likelier; with `logprob`."""
    top: tuple[Candidate, ...] = ()
    """The likeliest ones, or those asked for by id; best first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """Computation began; the first event."""

    request_id: str
    model: str
    num_prompt_tokens: int
    sampling: Mapping[str, object] = field(default_factory=dict)
    """The sampling in use, by field name of the contract."""
    stopping: Mapping[str, object] = field(default_factory=dict)
    """The limits in use, likewise."""
    max_tokens: int = 0
    """One of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextDelta:
    """New text; joined, the texts are the whole answer."""

    text: str
    num_completion_tokens: int
    """Cumulative."""
    tokens: tuple[Token, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """The output ended."""

    reason: FinishReason
    stop: str | int | None = None
    """The stop string, or the end token's id, that matched."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What it consumed; the last event."""

    num_prompt_tokens: int
    num_completion_tokens: int
    num_cached_prompt_tokens: int = 0
    queue_s: float = 0.0
    prefill_s: float = 0.0
    decode_s: float = 0.0
    total_s: float = 0.0


Event = Started | TextDelta | Finished | Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """A whole answer."""

    text: str
    started: Started
    finished: Finished
    usage: Usage
    tokens: tuple[Token, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEngine:
    """One engine that serves a model, and its room."""

    runner: str
    """What runs the model, e.g. fms."""
    device: str
    scheduler: str
    """The batching policy, e.g. continuous."""
    load_s: float
    """From the start of its loading until it was ready."""
    weights_bytes: int
    kv_cache_bytes: int
    kv_tokens: int
    """Tokens whose keys and values fit at once."""
    max_num_seqs: int
    """Most requests in one step."""
    max_concurrency: float
    """Full-length requests that fit at once."""
    version: str = ""
    """Of Steeple; empty where it is too old to tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A served model and its room."""

    name: str
    architecture: str
    max_model_len: int
    vocab_size: int
    dtype: str
    kv_tokens: int
    """Over all engines."""
    max_concurrency: float
    """Full-length requests that fit at once, over all engines."""
    num_engines: int
    weights_bytes: int
    """Of one engine."""
    kv_cache_bytes: int
    """Over all engines."""
    engines: tuple[ModelEngine, ...] = ()

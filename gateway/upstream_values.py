"""What the services behind the gateway tell and are asked, as the gateway's own values. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.values import FinishReason, LogprobsWanted, Options, Token


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenizerFacts:
    """One model's tokenizer."""

    fingerprint: str
    vocab_size: int
    has_chat_template: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodeInput:
    """One text to encode."""

    text: str
    max_tokens: int | None = None
    """Refuse more ids than this; None = the service's own limit."""
    add_special_tokens: bool = True
    """With the special tokens that the model expects."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineFacts:
    """What an engine serves; constant while its core lives."""

    instance_id: str
    model: str
    architecture: str
    model_fingerprint: str
    tokenizer_fingerprint: str
    vocab_size: int
    max_model_len: int
    dtype: str
    device: str
    scheduler: str
    max_num_seqs: int
    max_num_waiting: int
    default_max_tokens: int
    default_sampling: Options
    block_size: int
    num_blocks: int
    weights_bytes: int
    kv_cache_bytes: int
    runner: str = ""
    load_ns: int = 0
    """From the start of its loading until it was ready."""
    version: str = ""
    """Of Steeple, where the engine tells it."""

    @property
    def kv_tokens(self) -> int:
        """Tokens whose keys and values fit at once."""
        return self.num_blocks * self.block_size

    @property
    def max_concurrency(self) -> float:
        """Full-length requests that fit at once."""
        return min(self.kv_tokens / self.max_model_len, float(self.max_num_seqs))


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineReport:
    """What an engine tells of its work, of every gateway; counters run since its core's start."""

    num_running: int = 0
    num_waiting: int = 0
    num_waiting_tokens: int = 0
    num_free_blocks: int = 0
    num_used_blocks: int = 0
    num_cached_blocks: int = 0
    num_total_blocks: int = 0
    is_draining: bool = False
    since_last_step_ns: int = 0
    num_steps: int = 0
    num_output_tokens: int = 0
    num_preemptions: int = 0
    num_prompt_tokens: int = 0
    num_cached_prompt_tokens: int = 0

    @property
    def num_requests(self) -> int:
        """Running and waiting."""
        return self.num_running + self.num_waiting


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineRequest:
    """One output to produce."""

    request_id: str
    model: str
    prompt_token_ids: tuple[int, ...]
    sampling: Options
    stopping: Options
    bad_word_ids: tuple[tuple[int, ...], ...] = ()
    """Sequences that must not appear in the output."""
    logprobs: LogprobsWanted | None = None
    priority: int = 0
    """Lower goes first."""
    prior_output_token_ids: tuple[int, ...] = ()
    """What earlier engines produced; it counts as output."""
    cache_salt: str | None = None
    """None = the shared one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenLogprobs:
    """Natural log-probabilities at one position, of the raw logits."""

    logprob: float
    """Of the token produced."""
    rank: int
    """1 = no token was likelier."""
    top: tuple[tuple[int, float], ...] = ()
    """Other candidates by id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineUpdate:
    """What became known about a request; any part may be empty."""

    is_first: bool = False
    sampling: Options | None = None
    stopping: Options | None = None
    num_cached_prompt_tokens: int = 0
    queue_ns: int = 0
    first_position: int = 0
    """Output tokens before these, prior ones included."""
    token_ids: tuple[int, ...] = ()
    logprobs: tuple[TokenLogprobs, ...] = ()
    """One per token where they were asked for; else empty."""
    finish_reason: FinishReason | None = None
    stop_token_id: int | None = None
    prefill_ns: int = 0
    decode_ns: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionOptions:
    """How one output is decoded."""

    model: str
    prompt_tail_ids: tuple[int, ...]
    stop: tuple[str, ...]
    min_tokens: int
    skip_special_tokens: bool
    include_stop_in_output: bool
    token_texts: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TextUpdate:
    """New text of one session."""

    text: str
    num_consumed: int
    """Output ids whose text has come completely (cumulative)."""
    tokens: tuple[Token, ...] = ()
    aside_texts: Mapping[int, str] = field(default_factory=dict)
    """The own texts of ids that are no output and were asked for, by id."""
    matched_stop: str | None = None
    is_final: bool = False

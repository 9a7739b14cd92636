"""What travels inside the gateway: a checked request in, events out. No wire messages."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from steeple_rpc.principal import ANONYMOUS, Principal

Options = Mapping[str, object]
"""Parameters that the caller set, by their name in the contract."""


class FinishReason(Enum):
    """Why an output ended; names are those of common/v1 without their prefix."""

    EOS = "EOS"
    STOP_STRING = "STOP_STRING"
    STOP_TOKEN = "STOP_TOKEN"  # noqa: S105 - not a password
    MAX_TOKENS = "MAX_TOKENS"
    CONTEXT_LENGTH = "CONTEXT_LENGTH"
    TIME_LIMIT = "TIME_LIMIT"
    ABORTED = "ABORTED"


@dataclass(frozen=True, slots=True)
class TextPrompt:
    """A text to continue."""

    text: str


@dataclass(frozen=True, slots=True)
class TokenPrompt:
    """Token ids to continue."""

    token_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A function that the model asked for."""

    call_id: str
    name: str
    arguments_json: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatMessage:
    """One turn of a conversation."""

    role: str
    """system, user, assistant or tool."""
    parts: tuple[str, ...]
    name: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    reasoning: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatPrompt:
    """A conversation to answer."""

    messages: tuple[ChatMessage, ...]
    template_args: Mapping[str, str] = field(default_factory=dict)
    continue_final_message: bool = False


Prompt = TextPrompt | TokenPrompt | ChatPrompt


@dataclass(frozen=True, slots=True, kw_only=True)
class LogprobsWanted:
    """Which log-probabilities are told beside each output token's own."""

    num_top: int = 0
    """Of the likeliest tokens so many."""
    token_ids: tuple[int, ...] = ()
    """Of exactly these tokens, instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationRequest:
    """A request that validation let pass."""

    request_id: str
    model: str
    """The served name; empty where the caller left the choice to us."""
    prompt: Prompt
    sampling: Options
    stopping: Options
    bad_words: tuple[str, ...] = ()
    """As the caller wrote them; the engine gets their ids."""
    stop: tuple[str, ...] = ()
    max_tokens: int | None = None
    min_tokens: int = 0
    truncate_prompt_tokens: int | None = None
    skip_special_tokens: bool = True
    include_stop_in_output: bool = False
    token_details: bool = False
    logprobs: LogprobsWanted | None = None
    priority: int = 0
    """Lower goes first."""
    principal: Principal = ANONYMOUS
    """Who asks: its places are counted, and its ids are its own."""
    cache_salt: str | None = None
    """Cached prefixes are shared only among requests of one salt; None = the shared one."""

    @property
    def tells_tokens(self) -> bool:
        """Whether each output token is told: log-probabilities are told with them."""
        return self.token_details or self.logprobs is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedPrompt:
    """A prompt as the model reads it."""

    token_ids: tuple[int, ...]
    tail_start: int
    """token_ids[tail_start:] is all that decoding the output needs to know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A token that could have been produced, and how likely it was."""

    token_id: int
    text: str
    logprob: float
    """Natural, of the raw logits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """One output token and its own text."""

    token_id: int
    text: str
    logprob: float | None = None
    """As a candidate's; None where none were asked for."""
    rank: int | None = None
    """1 = no token was likelier; with `logprob`."""
    top: tuple[Candidate, ...] = ()
    """Best first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """Computation began."""

    request_id: str
    model: str
    num_prompt_tokens: int
    sampling: Options
    stopping: Options
    queue_ns: int = 0
    """From the engine's acceptance to its first step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextDelta:
    """New text of the output."""

    text: str
    num_completion_tokens: int
    """Cumulative."""
    tokens: tuple[Token, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """The output ended."""

    reason: FinishReason
    stop_text: str | None = None
    stop_token_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What the request consumed; the last event."""

    num_prompt_tokens: int
    num_completion_tokens: int
    num_cached_prompt_tokens: int
    tokenize_ns: int
    queue_ns: int
    prefill_ns: int
    decode_ns: int
    total_ns: int


Event = Started | TextDelta | Finished | Usage

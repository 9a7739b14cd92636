"""One step, as values: what the scheduler decides and what the runner answers.

`SchedulerOutput` always states the ragged facts (`sequences`): they alone define the result. Its
`layout` states the geometry that the policy computed for runners that need one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from engine_svc.core.params import (
    BlockId,
    FinishReason,
    LogprobsParams,
    RequestId,
    SamplingParams,
    TokenId,
)

NO_SLOT = -1
"""In a slot mapping: compute this token, do not write its keys and values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleSpec:
    """How to choose the token that follows a sequence's last scheduled token."""

    sampling: SamplingParams
    output_index: int
    """Which of the caller's outputs this is: outputs of one seed differ by it."""
    banned_token_ids: tuple[TokenId, ...] = ()
    """Tokens that must not be chosen now (end tokens before min_tokens)."""
    eos_token_ids: tuple[TokenId, ...] = ()
    """The end tokens that a length penalty makes likelier."""
    logprobs: LogprobsParams | None = None
    """None = no log-probabilities are wanted."""
    num_prompt_tokens: int = 0
    """With `history`: its first so many tokens are the prompt."""
    history: Sequence[TokenId] | None = None
    """All tokens before the one to choose, where the parameters look back; else None. Only to be
    read, and only while the step runs: it grows with the request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduledSequence:
    """The tokens of one request that a step computes: a prompt chunk or a decode."""

    request_id: RequestId
    token_ids: tuple[TokenId, ...]
    """Never empty."""
    first_position: int
    """Position of token_ids[0]; all positions before it are in the KV cache."""
    num_prompt_tokens: int
    """Positions below this are the prompt."""
    block_table: tuple[BlockId, ...]
    """The request's blocks in position order; covers every scheduled position."""
    slot_mapping: tuple[int, ...]
    """Per token: block * block_size + offset, or NO_SLOT."""
    block_offset: int = 0
    """Slots of the first block that stay empty in front of position 0, below block_size."""
    sample: SampleSpec | None
    """None: the step ends inside the prompt and no token is wanted."""

    @property
    def num_tokens(self) -> int:
        """Tokens computed in this step."""
        return len(self.token_ids)

    @property
    def next_position(self) -> int:
        """Position after the last scheduled token: where a sampled token goes."""
        return self.first_position + len(self.token_ids)


@dataclass(frozen=True, slots=True)
class Ragged:
    """No padding: the rows of all sequences are concatenated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PaddedPaged:
    """Rows padded on the left to one KV length; one prompt or any number of decodes."""

    tkv: int
    """KV length of the longest padded row, with this step's tokens."""
    left_pads: tuple[int, ...]
    """Per sequence: padding positions in front of it."""
    num_rows: int
    """Rows on the device; at least as many as sequences (a lone row may be doubled)."""
    query_len: int
    """Query positions per row, padding included: 1 for decodes, whole blocks for a prompt."""
    write_blocks: tuple[BlockId, ...] = ()
    """For a prompt, per block of the query: where it is written; 0 = thrown away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticShape:
    """One of the shapes that the device was warmed up with."""

    prompt_len: int
    new_tokens: int
    batch_size: int
    kv_len: int
    """KV length of every row, with this step's tokens: prompt_len while the prompts run."""
    rows: tuple[RequestId | None, ...]
    """Who sits in each of the batch_size rows; None = padding, or ended."""
    left_pads: tuple[int, ...]
    """Per row: padding positions in front of it; prompt_len where nobody ever sat."""


Layout = Ragged | PaddedPaged | StaticShape


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerOutput:
    """What one step runs."""

    step: int
    """Counts up from 1."""
    sequences: tuple[ScheduledSequence, ...]
    layout: Layout
    block_copies: tuple[tuple[BlockId, BlockId], ...] = ()
    """(from, to) pairs to copy before anything is computed."""
    finished_request_ids: tuple[RequestId, ...] = ()
    """Requests that ended since the last step: a runner drops what it keeps for them."""
    paused_request_ids: tuple[RequestId, ...] = ()
    """Requests whose prompt is computed and that get no token in this step."""
    preempted_request_ids: tuple[RequestId, ...] = ()
    """Requests that gave their blocks back since the last step and wait again."""

    @property
    def num_tokens(self) -> int:
        """Tokens computed in this step, over all sequences."""
        return sum(sequence.num_tokens for sequence in self.sequences)


FAULT_REASONS = frozenset(
    {"STEP_FAILED", "NON_FINITE_LOGITS", "NO_TOKEN_LEFT", "DEADLINE_EXPIRED", "NEVER_FITS"}
)
"""Of every RowFault that there can be: each is counted from 0 on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowFault:
    """Why a row of a step has no usable result; only its request fails."""

    reason: str
    """Stable; one of FAULT_REASONS."""
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenLogprobs:
    """Natural log-probabilities at one position, of the raw logits in float32."""

    logprob: float
    """Of the token chosen."""
    rank: int
    """1 = no token was likelier."""
    top: tuple[tuple[TokenId, float], ...] = ()
    """The likeliest tokens, best first, or the ones asked for in the order asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerOutput:
    """What one step produced."""

    token_ids: Mapping[RequestId, tuple[TokenId, ...]]
    """For every sequence with a `sample`, its new tokens, in order; never empty."""
    faults: Mapping[RequestId, RowFault] = field(default_factory=dict)
    """The sequences that failed; disjoint from `token_ids`."""
    logprobs: Mapping[RequestId, tuple[TokenLogprobs, ...]] = field(default_factory=dict)
    """One per token, for the sequences whose `sample` asks for them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestOutput:
    """What a step, or an abort, did to one request."""

    request_id: RequestId
    first_position: int = 0
    """Output tokens that came before these, prior ones included."""
    token_ids: tuple[TokenId, ...] = ()
    logprobs: tuple[TokenLogprobs, ...] = ()
    """One per token, where asked for."""
    is_first: bool = False
    """The first step that computed the request has run, or its time was over before that."""
    queue_s: float = 0.0
    """With `is_first`: from acceptance to the start of that step, or to the end."""
    num_cached_tokens: int = 0
    """With `is_first`: prompt tokens that the prefix cache spared."""
    finish_reason: FinishReason | None = None
    stop_token_id: TokenId | None = None
    """With an end by token: that token, the last of `token_ids`."""
    prefill_s: float = 0.0
    """With `finish_reason`: from the first step to the first token."""
    decode_s: float = 0.0
    """With `finish_reason`: from the first token to the last."""
    fault: RowFault | None = None
    """The request failed and is gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerLoad:
    """How busy a scheduler is."""

    num_running: int
    num_waiting: int
    num_waiting_tokens: int
    num_free_blocks: int
    num_used_blocks: int
    num_cached_blocks: int
    num_total_blocks: int
    num_preemptions: int = 0
    """Since start: requests that gave their blocks back to compute them again."""
    num_prompt_tokens: int = 0
    """Since start: prompt tokens of the requests that were started."""
    num_cached_prompt_tokens: int = 0
    """Of those, the ones that the prefix cache spared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerSnapshot:
    """What a scheduler holds between two steps: for people, plans and tests."""

    waiting: tuple[RequestId, ...]
    """The next one first."""
    running: tuple[RequestId, ...]
    """In the order of their rows; without the paused ones."""
    paused: tuple[RequestId, ...] = ()
    tkv: int = 0
    """KV length of the padded batch as the policy counts it; 0 = no batch."""
    num_used_blocks: int
    num_reserved_blocks: int
    """Promised and not yet held."""
    block_tables: Mapping[RequestId, tuple[BlockId, ...]]
    """Of all requests that hold blocks."""
    block_refs: Mapping[BlockId, int] = field(default_factory=dict)
    """How many requests hold each held block."""
    num_reused_blocks: int = 0
    """Blocks that the prefix cache spared the requests that hold blocks now."""

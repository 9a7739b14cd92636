"""One request inside the core. Only its scheduler changes it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

from engine_svc.core.kv_cache.prefix_index import PrefixKey
from engine_svc.core.params import BlockId, RequestId, TokenId
from engine_svc.core.request_spec import RequestSpec


class RequestStatus(Enum):
    """Where a request is. It is in exactly one place."""

    WAITING = auto()
    WAITING_FOR_GRAMMAR = auto()
    RUNNING = auto()
    FINISHED = auto()


@dataclass(slots=True, kw_only=True)
class Request:
    """A request and how far it is."""

    spec: RequestSpec
    arrival: float
    """When it was accepted, monotonic seconds."""
    arrival_idx: int = 0
    """Counts the requests of one scheduler; orders those of one priority."""
    status: RequestStatus = RequestStatus.WAITING
    token_ids: list[TokenId] = field(default_factory=list)
    """Prompt and output."""
    num_computed_tokens: int = 0
    """Positions whose keys and values are in the cache."""
    block_table: tuple[BlockId, ...] = ()
    num_reserved_blocks: int = 0
    """Blocks promised and not yet held."""
    num_cached_tokens: int = 0
    """Prompt tokens that the prefix cache spared."""
    block_keys: list[PrefixKey] = field(default_factory=list)
    """What its full blocks are found by, as far as anybody asked."""
    num_published_blocks: int = 0
    """The first blocks of its table that can be found."""
    num_found_blocks: int = 0
    """The first blocks of its sequence that others had computed when it started."""
    num_overtaken: int = 0
    """How often a request behind it in the queue was started first."""
    has_run: bool = False
    """Some step has computed it."""
    first_scheduled: float | None = None
    first_token: float | None = None

    def __post_init__(self) -> None:
        self.token_ids = [*self.spec.prompt_token_ids, *self.spec.prior_output_token_ids]

    @property
    def request_id(self) -> RequestId:
        """The request's id."""
        return self.spec.request_id

    @property
    def turn(self) -> tuple[int, int]:
        """Whoever has the lowest one is served first and preempted last."""
        return self.spec.priority, self.arrival_idx

    @property
    def deadline(self) -> float | None:
        """When its caller stops waiting, monotonic seconds; None = never."""
        timeout_s = self.spec.timeout_s
        return None if timeout_s is None else self.arrival + timeout_s

    @property
    def time_limit(self) -> float | None:
        """When what it has by then is its result, monotonic seconds; None = never."""
        time_limit_s = self.spec.stopping.time_limit_s
        return None if time_limit_s is None else self.arrival + time_limit_s

    @property
    def num_output_tokens(self) -> int:
        """Output tokens so far, prior ones included."""
        return len(self.token_ids) - len(self.spec.prompt_token_ids)

    @property
    def num_uncomputed_tokens(self) -> int:
        """Known tokens that are not in the cache yet: 1 while decoding."""
        return len(self.token_ids) - self.num_computed_tokens

    @property
    def num_decoded_tokens(self) -> int:
        """Steps that computed one token of new output: one less than the new tokens there are."""
        return max(0, self.num_computed_tokens - self.spec.num_prefill_tokens)

    @property
    def num_decodes_left(self) -> int:
        """Most decode steps that are still to come, once the prompt is computed."""
        return self.spec.num_new_tokens - 1 - self.num_decoded_tokens

    @property
    def is_decoding(self) -> bool:
        """Whether all that is left to compute is the last token."""
        return 0 < self.num_computed_tokens == len(self.token_ids) - 1

    def append(self, token_ids: Sequence[TokenId]) -> None:
        """Add output tokens."""
        self.token_ids.extend(token_ids)

"""What the command line says about policies, checked and with defaults filled in."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

from engine_svc.core.batching import BatchingOptions, Join, OverLimit, PauseOrder
from engine_svc.core.scheduler.base import Bounds
from steeple_cli.planning.choices import check_read_by_some, choice, option_name, shapes
from steeple_cli.planning.counts import MAX_COUNT, checked_count
from steeple_cli.planning.errors import PlanRefused
from steeple_cli.planning.policy import policy_names

DEFAULT_POLICY = "continuous"
DEFAULT_MAX_NUM_SEQS = 32
DEFAULT_NUM_BATCHED_TOKENS = 512
MODEL_MAX_LEN = 32768
"""Taken as what the model knows, unless a longer context is asked for."""
_MOST = {"max_batch_tkv": 1 << 40}


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenPolicy:
    """Options as they were written; None = not given. Meanings: `steeple plan --help`.

    Raises:
        PlanRefused: an option is out of its bounds, or no chosen policy reads it.
    """

    scheduler: Sequence[str] | None = None
    max_model_len: int | None = None
    max_num_seqs: int | None = None
    max_num_batched_tokens: int | None = None
    block_size: int | None = None
    num_blocks: int | None = None
    warmup_shapes: str | None = None
    join: str | None = None
    max_batch_tkv: int | None = None
    min_decode_rows: int | None = None
    interleave: bool | None = None
    over_limit: str | None = None
    pause_order: str | None = None
    prefix_caching: bool | None = None

    def __post_init__(self) -> None:
        for name, value in self._set():
            if isinstance(value, int) and not isinstance(value, bool):
                checked_count(option_name(name), value, most=_MOST.get(name, MAX_COUNT))
        check_read_by_some((name for name, _ in self._set()), self.policies)

    @property
    def policies(self) -> tuple[str, ...]:
        """The policies to compare."""
        return policy_names(self.scheduler or (DEFAULT_POLICY,))

    def bounds(self) -> Bounds:
        """What is wanted of the policies."""
        return Bounds(
            model_max_len=max(MODEL_MAX_LEN, self.max_model_len or 0),
            max_model_len=self.max_model_len,
            max_num_seqs=self.max_num_seqs or DEFAULT_MAX_NUM_SEQS,
            max_num_batched_tokens=self._num_batched_tokens(),
            block_size=self.block_size,
            options=self._options(),
        )

    def _num_batched_tokens(self) -> int:
        num_tokens = self.max_num_batched_tokens or DEFAULT_NUM_BATCHED_TOKENS
        num_seqs = self.max_num_seqs or DEFAULT_MAX_NUM_SEQS
        if "continuous" in self.policies and num_tokens < num_seqs:
            raise PlanRefused(
                f"--max-num-batched-tokens {num_tokens} is below --max-num-seqs {num_seqs}:"
                " every running request needs a token per step"
            )
        return num_tokens

    def _options(self) -> BatchingOptions:
        default = BatchingOptions()
        over_limit = choice("over_limit", OverLimit, self.over_limit, default.over_limit)
        if over_limit is OverLimit.LOOK_AHEAD and self.pause_order is not None:
            raise PlanRefused("--pause-order is not read where --over-limit is look-ahead")
        return BatchingOptions(
            shapes=shapes(self.warmup_shapes),
            max_batch_tkv=self.max_batch_tkv,
            min_decode_rows=self.min_decode_rows or default.min_decode_rows,
            join=choice("join", Join, self.join, default.join),
            interleave=default.interleave if self.interleave is None else self.interleave,
            over_limit=over_limit,
            pause_order=choice("pause_order", PauseOrder, self.pause_order, default.pause_order),
            prefix_caching=(
                default.prefix_caching if self.prefix_caching is None else self.prefix_caching
            ),
        )

    def _set(self) -> Iterator[tuple[str, object]]:
        values = ((field.name, getattr(self, field.name)) for field in fields(self))
        return ((name, value) for name, value in values if value is not None)

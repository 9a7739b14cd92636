"""Random bounds that each policy accepts, also ones that cannot hold every request."""

from collections.abc import Mapping

from hypothesis import strategies as st

from engine_svc.core.batching import BatchingOptions, Join, OverLimit, PauseOrder, WarmupShape
from engine_svc.core.scheduler.base import Bounds, SchedulerConfig
from engine_svc.core.scheduler.registry import SCHEDULERS

MAX_SEATS = 5
# The smallest are rare: with one seat or one block nobody meets anybody. Hypothesis likes the ends
# of a range: they are what is common, here and in all other choices.
SEATS = (2, 3, 4, MAX_SEATS, 1, 2, 3, 4, MAX_SEATS, 3)
CONTEXT_BLOCKS = (4, 5, 6, 8, 3, 1, 2, 3, 4, 5, 6)


@st.composite
def continuous_configs(draw: st.DrawFn) -> SchedulerConfig:
    """Small blocks and budgets, pools that few requests of full length fill."""
    block_size = draw(st.integers(1, 8))
    full, spare = draw(st.integers(4, 24)), draw(st.sampled_from([0, 1, 2, 4, 8, 0]))
    seats = draw(st.sampled_from(SEATS))
    return SchedulerConfig(
        num_blocks=full + spare,
        block_size=block_size,
        max_model_len=full * block_size,
        max_num_seqs=seats,
        max_num_batched_tokens=seats + draw(st.integers(0, 60)),
        options=BatchingOptions(prefix_caching=draw(st.sampled_from([True, True, False]))),
    )


@st.composite
def static_configs(draw: st.DrawFn) -> SchedulerConfig:
    """One to three shapes; the policy derives the other bounds from them."""
    shape = st.builds(
        WarmupShape,
        batch_size=st.integers(1, 4),
        prompt_len=st.sampled_from([64, 128, 192]),
        new_tokens=st.integers(2, 60),
    )
    shapes = tuple(draw(st.lists(shape, min_size=1, max_size=3, unique=True)))
    settled = SCHEDULERS["static"].settle(
        Bounds(
            model_max_len=1 << 20,
            max_model_len=None,
            max_num_seqs=MAX_SEATS,
            max_num_batched_tokens=512,
            block_size=None,
            options=BatchingOptions(shapes=shapes),
        )
    )
    assert settled.block_size is not None
    assert settled.max_model_len is not None
    longest = max(shape.prompt_len + shape.new_tokens for shape in shapes)
    rows = max(shape.batch_size for shape in shapes)
    enough = rows * -(-longest // settled.block_size)
    return SchedulerConfig(
        num_blocks=enough + draw(st.integers(0, 8)),
        block_size=settled.block_size,
        max_model_len=settled.max_model_len,
        max_num_seqs=settled.max_num_seqs,
        max_num_batched_tokens=settled.max_num_batched_tokens,
        options=settled.options,
    )


@st.composite
def spyre_configs(draw: st.DrawFn) -> SchedulerConfig:
    """Contexts of one to eight blocks; now and then fewer blocks or volume than one needs."""
    context = 64 * draw(st.sampled_from(CONTEXT_BLOCKS))
    seats = draw(st.sampled_from(SEATS))
    min_rows = draw(st.integers(1, min(2, seats)))
    return SchedulerConfig(
        num_blocks=draw(_pools(seats, context // 64)),
        block_size=64,
        max_model_len=context,
        max_num_seqs=seats,
        max_num_batched_tokens=64 * draw(st.integers(1, 4)),
        options=BatchingOptions(
            max_batch_tkv=draw(_limits(seats, context, min_rows)),
            min_decode_rows=min_rows,
            join=draw(st.sampled_from(Join)),
            interleave=draw(st.booleans()),
            over_limit=draw(st.sampled_from(OverLimit)),
            pause_order=draw(st.sampled_from(PauseOrder)),
            prefix_caching=draw(st.sampled_from([True, True, False])),
        ),
    )


def _pools(seats: int, full: int) -> st.SearchStrategy[int]:
    """Blocks for many requests, for one of full length, or for less."""
    enough = st.integers(full, seats * full + 2)
    scarce, too_scarce = st.integers(full, full + 2), st.integers(1, full)
    return st.one_of(enough, enough, scarce, too_scarce, enough, st.just(seats * full))


def _limits(seats: int, context: int, min_rows: int) -> st.SearchStrategy[int | None]:
    """No limit, one that binds now and then, one that often binds, one that refuses."""
    full = min_rows * context
    binding = st.integers(full, max(full, seats * context))
    tight, too_tight = st.integers(full, full + 96), st.integers(min_rows * 64, full)
    return st.one_of(st.none(), binding, tight, too_tight, binding, st.none())


CONFIGS: Mapping[str, st.SearchStrategy[SchedulerConfig]] = {
    "continuous": continuous_configs(),
    "spyre_chunked": spyre_configs(),
    "spyre_continuous": spyre_configs(),
    "static": static_configs(),
}
"""By policy."""

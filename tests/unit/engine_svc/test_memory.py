"""How many blocks there are, and what is refused before anything is allocated."""

import pytest

from engine_svc.core.errors import StartupError
from engine_svc.core.memory import MemoryPlan, MemoryRequest, plan_memory


def plan(**options: float | None) -> MemoryPlan:
    """A plan for 1 KiB per token and blocks of 16, a context of 1,024, 4 seats."""
    given: dict[str, int | float | None] = {
        "available_bytes": 1 << 30,
        "kv_bytes_per_token": 1024,
        "block_size": 16,
        "max_num_seqs": 4,
        "model_max_len": 1024,
    }
    return plan_memory(MemoryRequest(**{**given, **options}))  # type: ignore[arg-type] # by name


def test_no_more_blocks_than_all_seats_can_fill() -> None:
    """Memory that no request could use is left to others."""
    assert plan().num_blocks == 4 * 64


def test_a_share_and_a_size_bound_the_cache() -> None:
    """The explicit size wins over the share."""
    assert plan(kv_cache_share=0.002).kv_cache_bytes <= (1 << 30) * 0.002
    assert plan(kv_cache_bytes=2 << 20).num_blocks == 128


def test_an_unset_context_shrinks_to_what_fits() -> None:
    """And says so."""
    shrunk = plan(kv_cache_bytes=512 << 10)
    assert (shrunk.max_model_len, shrunk.was_shrunk) == (512, True)


def test_a_context_that_was_asked_for_is_never_shrunk() -> None:
    """Refused with what it needs, what there is, and what would fit."""
    with pytest.raises(StartupError, match=r"1024 tokens needs 1\.0 MiB.*0\.5 MiB.*at most 512"):
        plan(kv_cache_bytes=512 << 10, max_model_len=1024)


def test_a_context_beyond_the_models_is_refused() -> None:
    """The model knows no more positions."""
    with pytest.raises(StartupError, match="2048 exceeds the model's context of 1024"):
        plan(max_model_len=2048)


def test_no_room_for_a_single_block_is_refused() -> None:
    """There is nothing to shrink to."""
    with pytest.raises(StartupError, match="KV cache"):
        plan(kv_cache_bytes=1024)

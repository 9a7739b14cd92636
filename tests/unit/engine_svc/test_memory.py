"""How many blocks there are, and what is refused before anything is allocated."""

import re

import pytest

from engine_svc.core.errors import StartupError
from engine_svc.core.memory import MemoryPlan, MemoryRequest, plan_memory
from steeple_rpc.quantities import parse_quantity


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
    with pytest.raises(StartupError, match=r"1,024 tokens needs 1\.0 MiB.*512\.0 KiB.*to 512, or"):
        plan(kv_cache_bytes=512 << 10, max_model_len=1024)


@pytest.mark.parametrize("kv_cache_bytes", [16 << 10, 100 << 10, 777 << 10, 3 << 20, 9 << 20])
@pytest.mark.parametrize("block_size", [16, 64])
def test_following_either_remedy_works(kv_cache_bytes: int, block_size: int) -> None:
    """A shorter context, or the memory that is asked for."""
    given = {"model_max_len": 1 << 20, "block_size": block_size, "kv_cache_bytes": kv_cache_bytes}
    with pytest.raises(StartupError) as caught:
        plan(**given, max_model_len=20_000)
    told = re.search(r"lower --max-model-len to ([\d,]*\d)", str(caught.value))
    more = re.search(r"raise --kv-cache-bytes to (\S+)$", str(caught.value))
    assert more is not None
    if told is not None:
        shorter = int(str(parse_quantity(told[1])))
        assert plan(**given, max_model_len=shorter).max_model_len == shorter
    else:
        assert kv_cache_bytes < block_size << 10
    enough = int(str(parse_quantity(more[1])))
    assert plan(**given | {"kv_cache_bytes": enough}, max_model_len=20_000).num_blocks


@pytest.mark.parametrize("spare", [0, 1, 1000, 40_000, 1 << 20])
@pytest.mark.parametrize("wanted", [1000, 1023 << 10, (1 << 20) + 100])
def test_a_remedy_asks_for_no_more_than_there_is(wanted: int, spare: int) -> None:
    """However little the machine has beyond it: a number that is rounded may not pass that."""
    needed_bytes = -(-wanted // 16) * 16 * 1024
    given = {"model_max_len": 1 << 21, "available_bytes": needed_bytes + spare}
    with pytest.raises(StartupError) as caught:
        plan(**given, max_model_len=wanted, kv_cache_bytes=64 << 10)
    more = re.search(r"raise --kv-cache-bytes to (\S+)$", str(caught.value))
    assert more is not None
    enough = int(str(parse_quantity(more[1])))
    followed = plan(**{**given, "kv_cache_bytes": enough}, max_model_len=wanted)
    assert followed.max_model_len == wanted


def test_a_share_that_is_too_small_makes_room_for_a_size() -> None:
    """Both together would be refused."""
    with pytest.raises(StartupError, match=r"or pass --kv-cache-bytes 1MiB for --kv-cache-share$"):
        plan(kv_cache_share=0.0005, max_model_len=1024)


def test_what_a_devices_own_memory_lacks_is_not_looked_for_in_this_machines() -> None:
    with pytest.raises(StartupError, match=r"raise --kv-cache-bytes to 4MiB$"):
        plan(
            available_bytes=1 << 20,
            is_in_host_memory=False,
            model_max_len=4096,
            max_model_len=4096,
            kv_cache_bytes=1 << 20,
        )


def test_a_number_of_blocks_is_what_it_is() -> None:
    """Even more than the seats can fill; too few are refused with how many it takes."""
    assert plan(num_blocks=1000).num_blocks == 1000
    with pytest.raises(StartupError, match=r"raise --num-blocks to 64$"):
        plan(num_blocks=63, max_model_len=1024)


def test_a_context_that_no_memory_holds_is_told_so() -> None:
    """More cannot be asked of the cache than the machine has."""
    with pytest.raises(StartupError, match=r"free memory: 1\.0 MiB are free in all$"):
        plan(available_bytes=1 << 20, model_max_len=4096, max_model_len=4096)


def test_a_cache_that_the_machine_cannot_hold_is_refused() -> None:
    """Not killed later; what a device of its own can hold, the device knows."""
    given = {"available_bytes": 1 << 20, "kv_cache_bytes": 4 << 20}
    with pytest.raises(StartupError, match=r"--kv-cache-bytes: .* 4\.0 MiB does not fit, as 1\.0"):
        plan(**given)
    assert plan(**given, is_in_host_memory=False).kv_cache_bytes == 4 << 20


def test_a_context_beyond_the_models_is_refused() -> None:
    """The model knows no more positions."""
    with pytest.raises(StartupError, match="2048 exceeds the model's context of 1024"):
        plan(max_model_len=2048)


def test_no_room_for_a_single_block_is_refused() -> None:
    """There is nothing to shrink to."""
    with pytest.raises(StartupError, match="KV cache"):
        plan(kv_cache_bytes=1024)

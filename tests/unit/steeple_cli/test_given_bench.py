"""Options become a plan, or are refused by name."""

from pathlib import Path
from typing import Any

import pytest

from steeple_cli.benching.given_bench import GivenBench
from steeple_cli.benching.shapes import ClosedShape, OpenShape
from steeple_cli.load.figures import LatencyBound
from steeple_rpc.refused import SettingRefused


def test_without_options_it_is_a_short_sweep_of_a_closed_loop() -> None:
    plan = GivenBench().plan()
    assert plan.shapes == tuple(ClosedShape(num_callers=number) for number in (1, 4, 16))
    assert (plan.extent.duration_s, plan.extent.num_requests) == (10.0, None)
    assert (plan.asking.prompts, plan.asking.output_lens) == ("256", "64")
    assert plan.bound is None
    assert plan.options["ignore_eos"]


def test_rates_make_an_open_loop() -> None:
    plan = GivenBench(rate="0.5,2", seed=3).plan()
    assert plan.shapes == tuple(
        OpenShape(rate=rate, arrivals="poisson", seed=3) for rate in (0.5, 2.0)
    )
    assert plan.asking.arrivals == "poisson"
    assert GivenBench(rate="1", arrivals="constant").plan().asking.arrivals == "constant"


def test_a_number_of_requests_takes_the_place_of_a_duration() -> None:
    extent = GivenBench(requests=7, warm_up=0).plan().extent
    assert (extent.num_requests, extent.duration_s, extent.num_warm_up) == (7, None, 0)


@pytest.mark.parametrize(
    ("given", "used"), [({}, False), ({"prefix_cache": True}, True), ({"shared_prefix": 9}, True)]
)
def test_the_cache_is_used_where_it_is_to_be_measured(given: dict[str, Any], used: bool) -> None:  # noqa: FBT001 - a case
    assert GivenBench(**given).plan().asking.is_cache_used == used


def test_bounds_are_kept_alone_or_both() -> None:
    assert GivenBench(ttft_bound=0.5).plan().bound == LatencyBound(ttft_s=0.5)
    assert GivenBench(itl_bound=0.1).plan().bound == LatencyBound(itl_s=0.1)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"concurrency": "1", "rate": "1"}, "--concurrency and --rate exclude each other"),
        ({"requests": 1, "duration": 1.0}, "--requests and --duration exclude"),
        ({"prompts": Path("p"), "prompt_lens": "5"}, "--prompts and --prompt-lens exclude"),
        ({"prompts": Path("p"), "shared_prefix": 5}, "--prompts and --shared-prefix exclude"),
        ({"arrivals": "constant"}, "--arrivals is for an open loop: give --rate"),
        ({"rate": "1", "arrivals": "daily"}, "--arrivals is poisson or constant; it is 'daily'"),
        ({"concurrency": "1,x"}, "--concurrency must be a number.*'1,x'"),
        ({"concurrency": "1,1"}, "--concurrency names a number twice"),
        ({"concurrency": "0"}, "--concurrency is 1 to 10000; it is 0"),
        ({"concurrency": "1.5"}, "--concurrency must be a number"),
        ({"rate": "0"}, "--rate is a number from 0.0001 up; it is 0"),
        ({"rate": "nan"}, "--rate is a number"),
        ({"requests": 0}, "--requests is 1 to"),
        ({"duration": 0.0}, "--duration is a number of seconds above 0; it is 0"),
        ({"duration": float("inf")}, "--duration is a number of seconds"),
        ({"warm_up": -1}, "--warm-up is 0 or more; it is -1"),
        ({"connections": 0}, "--connections is 1 to 100; it is 0"),
        ({"prompt_lens": "many"}, "--prompt-lens must be a number"),
        ({"output_lens": "uniform:9:1"}, "--output-lens 'uniform:9:1': 9 is above 1"),
        ({"shared_prefix": -1}, "--shared-prefix is 1 to"),
        ({"timeout": 0.0}, "--timeout is a number of seconds"),
        ({"ttft_bound": -1.0}, "--ttft-bound is a number of seconds"),
        ({"itl_bound": 0.0}, "--itl-bound is a number of seconds"),
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused_by_name(given: dict[str, Any], told: str) -> None:
    with pytest.raises(SettingRefused, match=told):
        GivenBench(**given).plan()

"""Which engine gets the next request."""

import pytest

from gateway.balance import EngineLoad, least_loaded


def reported(num_reported: int | None, *, num_here: int = 0, at_report: int = 0) -> EngineLoad:
    return EngineLoad(num_here=num_here, num_reported=num_reported, num_here_at_report=at_report)


@pytest.mark.parametrize(
    ("loads", "chosen"),
    [
        ([reported(0)], 0),
        ([reported(None)], 0),
        ([reported(3), reported(1), reported(2)], 1),
        ([reported(1), reported(1)], 0),
        # Unknown is not idle.
        ([reported(None), reported(100)], 1),
        ([reported(None, num_here=2), reported(None, num_here=1)], 1),
        # What was sent since the report counts at once.
        ([reported(0, num_here=3), reported(2)], 1),
    ],
)
def test_the_least_loaded_engine_is_taken(loads: list[EngineLoad], chosen: int) -> None:
    assert least_loaded(loads) == chosen


@pytest.mark.parametrize(
    ("load", "num_requests"),
    [
        (reported(None, num_here=2), 2),
        (reported(5), 5),
        # 5 were there, 3 of them ours: 2 of others. Now 4 are ours.
        (reported(5, num_here=4, at_report=3), 6),
        # A report that is older than our own count never makes others negative.
        (reported(1, num_here=0, at_report=3), 0),
    ],
)
def test_the_estimate_is_ours_exactly_and_others_by_the_report(
    load: EngineLoad, num_requests: int
) -> None:
    assert load.num_requests == num_requests

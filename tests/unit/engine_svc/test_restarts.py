"""Pauses between starts, and their end."""

from engine_svc.restarts import FIRST_PAUSE_S, MAX_FAILED_STARTS, MAX_PAUSE_S, STEADY_S, Restarts


def test_pauses_double_up_to_a_limit() -> None:
    """Also where each core serves for a moment: a crash loop is one."""
    restarts = Restarts()
    pauses = [restarts.lost(served_s=1.0) for _ in range(10)]
    assert pauses[:4] == [FIRST_PAUSE_S * 2**idx for idx in range(4)]
    assert pauses[-1] == MAX_PAUSE_S


def test_a_core_that_served_for_long_is_replaced_at_once_again() -> None:
    """Whatever was before."""
    restarts = Restarts()
    for _ in range(5):
        restarts.lost(served_s=1.0)
    assert restarts.lost(served_s=STEADY_S) == FIRST_PAUSE_S


def test_starts_that_fail_in_a_row_are_hopeless() -> None:
    """One that serves in between starts the count again."""
    restarts, told = Restarts(), []
    for served_s in [None, None, 0.0, None, None, None]:
        restarts.lost(served_s=served_s)
        told.append((restarts.has_served, restarts.is_hopeless))
    assert MAX_FAILED_STARTS == 3
    assert told == [
        (False, False),
        (False, False),
        (True, False),
        (True, False),
        (True, False),
        (True, True),
    ]

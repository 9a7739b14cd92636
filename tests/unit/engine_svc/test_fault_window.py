"""Requests that the core fails are counted; those that fail by themselves are not."""

from engine_svc.core.fault_window import WINDOW_S, FaultWindow
from engine_svc.core.outputs import RequestOutput, RowFault
from engine_svc.core.params import RequestId


def failed(reason: str, number: int = 1) -> list[RequestOutput]:
    """So many requests with this fault."""
    fault = RowFault(reason=reason, message="")
    return [RequestOutput(request_id=RequestId(str(idx)), fault=fault) for idx in range(number)]


def test_the_limit_is_reached_by_any_of_our_faults() -> None:
    """Together, in one turn or in several."""
    window = FaultWindow(4)
    assert not window.note(failed("NON_FINITE_LOGITS", 2), 0.0)
    assert not window.note(failed("STEP_FAILED"), 1.0)
    assert window.note(failed("STEP_FAILED"), 2.0)
    assert FaultWindow(2).note(failed("STEP_FAILED", 5), 0.0)


def test_what_is_older_than_the_window_is_forgiven() -> None:
    """To the second."""
    window = FaultWindow(2)
    window.note(failed("STEP_FAILED"), 0.0)
    assert not window.note(failed("STEP_FAILED"), WINDOW_S + 0.1)
    assert window.note(failed("STEP_FAILED"), 2 * WINDOW_S + 0.1)


def test_faults_of_the_request_and_good_outputs_do_not_count() -> None:
    """A late caller says nothing about the core, and nobody can have it replaced by his bans."""
    window = FaultWindow(1)
    for reason in ("DEADLINE_EXPIRED", "NEVER_FITS", "NO_TOKEN_LEFT"):
        assert not window.note(failed(reason), 0.0)
    assert not window.note([RequestOutput(request_id=RequestId("a"))], 0.0)

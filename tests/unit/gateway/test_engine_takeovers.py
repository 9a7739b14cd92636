"""Which failures another engine may mend, how often and for how long."""

import pytest

from gateway.takeover import FIRST_PAUSE_S, MAX_PAUSE_S, TakeoverLimits, Takeovers, is_loss
from steeple_rpc.errors import (
    Aborted,
    Cancelled,
    DeadlineExpired,
    EngineFault,
    InvalidRequest,
    NotFound,
    Overloaded,
    ServiceError,
    Unavailable,
)

OWN_ERRORS = [
    EngineFault("bad", reason="STEP_FAILED"),
    EngineFault("bad", reason="NON_FINITE_LOGITS"),
    EngineFault("bad", reason="BAD_ENGINE"),
    DeadlineExpired("late"),
    Cancelled("left"),
    Aborted("ended"),
    NotFound("what"),
    InvalidRequest("wrong"),
    Overloaded("full", reason="QUEUE_FULL"),
    Overloaded("slow", reason="CLIENT_TOO_SLOW"),
    Unavailable("text", reason="TOKENIZER_LOST"),
    Unavailable("other", reason="UPSTREAM_MISMATCH"),
]
LOSSES = ["ENGINE_LOST", "ENGINE_STALLED", "DRAINING", "STARTING"]


def takeovers(draw: float = 1.0, **limits: float) -> Takeovers:
    return Takeovers(TakeoverLimits(**limits), draw=lambda: draw)  # type: ignore[arg-type] # by name


def loss(reason: str = "ENGINE_LOST") -> Unavailable:
    return Unavailable("gone", reason=reason)


def note(
    taking: Takeovers,
    error: ServiceError,
    now: float = 0.0,
    *,
    has_begun: bool = True,
    was_begun: bool = False,
) -> None:
    taking.note(error, now, has_begun=has_begun, was_begun=was_begun)


@pytest.mark.parametrize("error", OWN_ERRORS, ids=lambda error: error.reason)
def test_the_requests_own_errors_are_its_end(error: ServiceError) -> None:
    assert not is_loss(error)
    taking = takeovers()
    with pytest.raises(ServiceError) as caught:
        note(taking, error)
    assert caught.value is error
    assert taking.num_begun == 0


@pytest.mark.parametrize("has_begun", [True, False])
@pytest.mark.parametrize("reason", LOSSES)
def test_the_loss_of_an_engine_begins_a_takeover(reason: str, *, has_begun: bool) -> None:
    taking = takeovers(timeout_s=5.0)
    note(taking, loss(reason), 100.0, has_begun=has_begun)
    assert taking.num_begun == 1
    assert [taking.left_s(now) for now in (100.0, 102.0, 105.0, 200.0)] == [5.0, 3.0, 0.0, 0.0]


@pytest.mark.parametrize(
    "refusal", [loss("STARTING"), loss("DRAINING"), Overloaded("full", reason="QUEUE_FULL")]
)
def test_a_refusal_while_an_engine_is_looked_for_costs_no_takeover(refusal: ServiceError) -> None:
    """And no time is won by it."""
    taking = takeovers(timeout_s=5.0)
    note(taking, loss(), 0.0)
    for now in range(1, 5):
        note(taking, refusal, float(now), has_begun=False)
    assert taking.num_begun == 1
    assert taking.left_s(5.0) == 0.0


def test_a_request_that_loses_every_engine_ends_with_the_last_one_allowed() -> None:
    """It may be what kills them: also where none of them came to compute it."""
    taking = takeovers(max_takeovers=2)
    note(taking, loss(), has_begun=True)
    note(taking, loss(), has_begun=False)
    with pytest.raises(Unavailable, match="3 engines; the limit is 2") as caught:
        note(taking, loss(), has_begun=True)
    assert caught.value.reason == "ENGINE_LOST"


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        ("ENGINE_LOST", "ENGINE_LOST"),
        ("STARTING", "ENGINE_LOST"),
        ("DRAINING", "DRAINING"),
        ("ENGINE_STALLED", "ENGINE_STALLED"),
    ],
)
def test_the_end_says_how_the_engine_went(reason: str, told: str) -> None:
    taking = takeovers(max_takeovers=1)
    note(taking, loss(reason))
    assert taking.too_late().reason == told
    with pytest.raises(Unavailable) as caught:
        note(taking, loss(reason))
    assert caught.value.reason == told


def test_the_end_names_every_limit_that_the_search_may_have_had() -> None:
    """A time limit of the request's may have ended it before."""
    taking = takeovers(timeout_s=5.0)
    note(taking, loss())
    told = taking.too_late().message
    assert told.endswith("within 5 s, or its time limit if that is shorter")


def test_what_no_engine_can_carry_on_is_lost_and_not_the_callers_fault() -> None:
    taking = takeovers()
    note(taking, loss())
    too_long = InvalidRequest("too long", reason="PROMPT_TOO_LONG", field="prompt")
    with pytest.raises(Unavailable, match="output so far") as caught:
        note(taking, too_long, has_begun=False, was_begun=True)
    assert caught.value.reason == "ENGINE_LOST"


def test_what_was_refused_without_any_output_is_refused_as_it_is() -> None:
    """The next engine may have other bounds; nothing was told yet."""
    taking = takeovers()
    note(taking, loss(), has_begun=False)
    with pytest.raises(InvalidRequest):
        note(taking, InvalidRequest("too long"), has_begun=False)


def test_pauses_grow_to_a_bound_and_begin_anew_with_each_takeover() -> None:
    taking = takeovers()
    note(taking, loss())
    pauses = [taking.next_pause_s() for _ in range(10)]
    assert pauses[:3] == [FIRST_PAUSE_S, 2 * FIRST_PAUSE_S, 4 * FIRST_PAUSE_S]
    assert pauses[-1] == MAX_PAUSE_S
    note(taking, loss())
    assert taking.next_pause_s() == FIRST_PAUSE_S


def test_pauses_are_drawn_so_that_not_all_come_back_at_once() -> None:
    assert takeovers(draw=0.0).next_pause_s() == FIRST_PAUSE_S / 2

"""Which failures are worth another attempt, and how long it waits."""

import pytest

from steeple_client.retries import NO_RETRIES, Attempts, Repeatable, Retries
from steeple_rpc import errors
from steeple_rpc.errors import AlreadyExists, InvalidRequest, Overloaded, ServiceError, Unavailable

NEVER, ALWAYS = Repeatable.NEVER, Repeatable.ALWAYS
STREAM, WHOLE = Repeatable.UNTIL_AN_EVENT, Repeatable.UNTIL_SENT
FULL = Overloaded("full", reason="QUEUE_FULL", retry_after_s=1.0)
LOST = Unavailable("Socket closed")
UNSENT = Unavailable("connections to all backends failing; last error: refused")
DRAINING = Unavailable("the gateway is draining", reason="DRAINING")
ENGINE_LOST = Unavailable("the engine was lost", reason="ENGINE_LOST")
EXISTS = AlreadyExists("a live request has this id", reason="REQUEST_EXISTS")


def attempts(
    repeatable: Repeatable = STREAM,
    *,
    ends_at_s: float | None = None,
    retries: Retries = Retries(max_attempts=3),  # noqa: B008 - it never changes
) -> Attempts:
    return Attempts(retries, repeatable, ends_at_s=ends_at_s)


def pause(of: Attempts, error: ServiceError, *, now_s: float = 0.0, drawn: float = 0.0) -> object:
    return of.pause_after(error, now_s=now_s, drawn=drawn)


@pytest.mark.parametrize(
    ("error", "repeated"),
    [
        (FULL, {ALWAYS, STREAM, WHOLE}),
        (DRAINING, {ALWAYS, STREAM, WHOLE}),
        (UNSENT, {ALWAYS, STREAM, WHOLE}),
        (LOST, {ALWAYS, STREAM}),
        (ENGINE_LOST, {ALWAYS}),
        (EXISTS, set()),
        (Overloaded("too large"), set()),
    ],
    ids=["full", "draining", "unsent", "lost", "engine lost", "exists", "too large"],
)
def test_only_what_changes_nothing_is_made_again(
    error: ServiceError, repeated: set[Repeatable]
) -> None:
    """A whole generation that may run somewhere is not; one that ended engines never is."""
    assert {kind for kind in Repeatable if pause(attempts(kind), error) is not None} == repeated


@pytest.mark.parametrize("name", sorted(set(errors.__all__) - {"Overloaded", "Unavailable"}))
def test_other_failures_are_final(name: str) -> None:
    error = getattr(errors, name)("no", retry_after_s=0.1)
    assert all(pause(attempts(kind), error) is None for kind in Repeatable)


@pytest.mark.parametrize("error", [FULL, LOST, UNSENT, DRAINING])
def test_after_an_event_every_failure_is_final(error: ServiceError) -> None:
    """What was told cannot be taken back."""
    begun = attempts(STREAM)
    begun.begun()
    assert pause(begun, error) is None


def test_an_id_in_use_may_be_the_earlier_attempts_own() -> None:
    """The server has not seen the lost connection yet; another caller's id stays refused."""
    after_a_loss = attempts(STREAM)
    assert pause(after_a_loss, LOST) is not None
    assert pause(after_a_loss, EXISTS) is not None
    after_a_refusal = attempts(STREAM)
    assert pause(after_a_refusal, DRAINING) is not None
    assert pause(after_a_refusal, EXISTS) is None


def test_attempts_are_counted() -> None:
    three = attempts()
    assert [pause(three, DRAINING) is not None for _ in range(4)] == [True, True, False, False]
    assert pause(Attempts(NO_RETRIES, ALWAYS, ends_at_s=None), DRAINING) is None


def test_pauses_are_drawn_below_a_bound_that_doubles_up_to_its_limit() -> None:
    many = attempts(retries=Retries(max_attempts=6, first_pause_s=1.0, max_pause_s=3.0))
    assert [pause(many, DRAINING, drawn=0.5) for _ in range(4)] == [0.5, 1.0, 1.5, 1.5]
    assert pause(many, DRAINING, drawn=0.0) == 0.0


def test_what_the_server_asks_for_is_waited_and_never_less() -> None:
    """Callers that were refused together are spread behind it."""
    assert pause(attempts(retries=Retries(first_pause_s=0.5)), FULL, drawn=0.0) == 1.0
    assert pause(attempts(retries=Retries(first_pause_s=0.5)), FULL, drawn=1.0) == 1.5


def test_a_pause_that_only_chance_made_too_long_is_the_longest_one() -> None:
    """Whether a call is made again hangs on what the server asks for, not on the dice."""
    patient = Retries(max_attempts=9, first_pause_s=1.0, max_pause_s=1.0)
    assert pause(attempts(retries=patient), FULL, drawn=0.9) == 1.0


def test_a_thousand_attempts_are_paused_like_the_tenth() -> None:
    many = attempts(retries=Retries(max_attempts=2000))
    assert {pause(many, DRAINING, drawn=1.0) for _ in range(1999)} == {0.5, 1.0, 2.0, 4.0, 8.0}


def test_a_pause_that_is_asked_for_and_too_long_is_left_to_the_caller() -> None:
    assert pause(attempts(), Overloaded("full", retry_after_s=60.0)) is None


@pytest.mark.parametrize(("now_s", "is_made"), [(8.5, True), (9.0, False), (20.0, False)])
def test_there_is_no_pause_beyond_the_deadline(now_s: float, *, is_made: bool) -> None:
    """The error comes at once instead of after a wait for nothing."""
    until_ten = attempts(ends_at_s=10.0)
    assert (pause(until_ten, FULL, now_s=now_s) is not None) == is_made


def test_all_attempts_share_one_deadline() -> None:
    until_ten = attempts(ends_at_s=10.0)
    assert [until_ten.left_s(now_s) for now_s in (0.0, 4.0, 10.0, 11.0)] == [10.0, 6.0, 0.0, 0.0]
    assert attempts().left_s(5.0) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_attempts", 0),
        ("first_pause_s", 0.0),
        ("first_pause_s", float("nan")),
        ("max_pause_s", 0.1),
    ],
)
def test_numbers_out_of_range_are_refused_by_name(name: str, value: float) -> None:
    with pytest.raises(InvalidRequest, match=name) as caught:
        Retries(**{name: value})  # type: ignore[arg-type] # by name
    assert caught.value.field == name

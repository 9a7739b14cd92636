"""The sessions of one stream: bounds, lives and faults of each."""

import pytest

from steeple_rpc.errors import (
    AlreadyExists,
    DeadlineExpired,
    InvalidRequest,
    NotFound,
    Overloaded,
    ServiceError,
    Unavailable,
)
from tests.support.tokenizers import loaded_family
from tokenizer_svc.detokenize.commands import Close, Command, Malformed, Open, Push, Update
from tokenizer_svc.detokenize.detokenizer import Detokenizer
from tokenizer_svc.detokenize.session_values import Progress, SessionOptions
from tokenizer_svc.detokenize.sessions import SessionTable


def find(model: str) -> Detokenizer:
    """The only model is `m`."""
    if model != "m":
        raise NotFound("no such model", reason="MODEL_NOT_FOUND", field="model")
    return loaded_family("byte_level").detokenizer


def token(text: str) -> int:
    """The id of a token by its spelling."""
    return loaded_family("byte_level").detokenizer.vocabulary.tokens.index(text)


@pytest.fixture
def table() -> SessionTable:
    return SessionTable(find, ttl_s=10.0, max_sessions=3)


def opening(session: int, **options: object) -> Open:
    """Opens a session of `m`."""
    return Open(session=session, model="m", options=SessionOptions(**options))  # type: ignore[arg-type] # a test's shorthand


def push(session: int, text: str, at: int = 0, *, is_final: bool = False) -> Push:
    """Pushes one id per character."""
    ids = [token(char) for char in text]
    return Push(session=session, first_position=at, ids=ids, is_final=is_final)


def apply(table: SessionTable, *commands: Command, now: float = 0.0) -> list[Update]:
    """Apply, and check what must always hold."""
    updates = table.apply(commands, now)
    table.check_integrity()
    return updates


def told(update: Update) -> Progress:
    """The progress of an update that has one."""
    assert isinstance(update.outcome, Progress)
    return update.outcome


def failed(update: Update) -> ServiceError:
    """The error of an update that has one."""
    assert isinstance(update.outcome, ServiceError)
    return update.outcome


def test_interleaved_sessions_know_nothing_of_each_other(table: SessionTable) -> None:
    """Updates come in the order of the commands."""
    updates = apply(
        table, opening(1), opening(2), push(1, "a"), push(2, "xy"), push(1, "b", 1), push(2, "z", 2)
    )
    assert [(u.session, told(u).text) for u in updates] == [(1, "a"), (2, "xy"), (1, "b"), (2, "z")]


def test_a_fault_ends_only_its_session(table: SessionTable) -> None:
    """What comes late for the ended one is ignored."""
    first = apply(table, opening(1), opening(2), push(1, "a", 5), push(1, "b", 6), push(2, "c"))
    assert [u.session for u in first] == [1, 2]
    assert failed(first[0]).reason == "OUT_OF_ORDER"
    assert len(table) == 1


def test_a_final_push_closes(table: SessionTable) -> None:
    """Even an empty one is answered; later pushes are ignored."""
    updates = apply(table, opening(1), push(1, "", is_final=True), push(1, "a"))
    assert [told(u).is_final for u in updates] == [True]
    assert len(table) == 0


def test_a_stop_closes(table: SessionTable) -> None:
    """Ids that were on their way are ignored."""
    updates = apply(table, opening(1, stops=("b",)), push(1, "ab"), push(1, "c", 2))
    assert [told(u).matched_stop for u in updates] == ["b"]
    assert len(table) == 0


def test_prior_ids_that_hold_a_stop_close_at_once(table: SessionTable) -> None:
    """The update tells the stop."""
    prior = Open(
        session=1,
        model="m",
        options=SessionOptions(stops=("b",)),
        prior_output_ids=[token("a"), token("b"), token("c")],
    )
    (update,) = apply(table, prior)
    assert (told(update).matched_stop, told(update).ids_consumed) == ("b", 2)
    assert len(table) == 0


def test_closing_is_silent_and_idempotent(table: SessionTable) -> None:
    """Also for sessions that never were."""
    assert apply(table, opening(1), Close(session=1), Close(session=1), Close(session=7)) == []
    assert len(table) == 0


def test_a_session_that_never_was_is_a_fault(table: SessionTable) -> None:
    """It is told once."""
    updates = apply(table, push(9, "a"), push(9, "b"))
    assert [failed(u).reason for u in updates] == ["UNKNOWN_SESSION"]
    assert isinstance(updates[0].outcome, InvalidRequest)


def test_a_number_may_be_used_again_after_its_end(table: SessionTable) -> None:
    """With positions from the start."""
    updates = apply(table, opening(1), push(1, "a", is_final=True), opening(1), push(1, "b"))
    assert told(updates[-1]).text == "b"


def test_opening_twice_fails_and_closes(table: SessionTable) -> None:
    """Nobody could tell which of the two a push is for."""
    (update,) = apply(table, opening(1), opening(1), push(1, "a"))
    assert isinstance(update.outcome, AlreadyExists)
    assert len(table) == 0


def test_an_unknown_model_fails_its_session_only(table: SessionTable) -> None:
    """Pushes that follow it are ignored."""
    wrong = Open(session=1, model="other", options=SessionOptions())
    (update,) = apply(table, wrong, push(1, "a"), opening(2))
    assert (failed(update).reason, failed(update).field) == ("MODEL_NOT_FOUND", "model")
    assert len(table) == 1


def test_the_number_of_sessions_is_bounded(table: SessionTable) -> None:
    """One more is refused; after an end there is room again."""
    updates = apply(table, *map(opening, range(1, 5)))
    assert [u.session for u in updates] == [4]
    assert isinstance(updates[0].outcome, Overloaded)
    assert failed(updates[0]).reason == "TOO_MANY_SESSIONS"
    assert apply(table, Close(session=1), opening(5)) == []


def test_a_session_without_pushes_expires(table: SessionTable) -> None:
    """A push begins its time to live anew."""
    apply(table, opening(1), opening(2), now=0.0)
    apply(table, push(1, "a"), now=6.0)
    assert table.expire(9.9) == []
    (update,) = table.expire(10.0)
    assert update.session == 2
    assert isinstance(update.outcome, DeadlineExpired)
    assert failed(update).reason == "SESSION_EXPIRED"
    assert [u.session for u in table.expire(16.0)] == [1]


def test_draining_refuses_new_sessions_only(table: SessionTable) -> None:
    """Open ones go on."""
    apply(table, opening(1))
    table.refuse_new()
    refused, progress = apply(table, opening(2), push(1, "a"))
    assert isinstance(refused.outcome, Unavailable)
    assert failed(refused).reason == "DRAINING"
    assert told(progress).text == "a"


def test_a_command_that_cannot_be_read_fails_its_session(table: SessionTable) -> None:
    """With the error that reading it gave."""
    bad = Malformed(session=1, error=InvalidRequest("wrong", field="stop"))
    (update,) = apply(table, opening(1), bad)
    assert failed(update).field == "stop"
    assert len(table) == 0

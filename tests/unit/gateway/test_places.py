"""Places: so many in all, a part of them for one caller, given back on every way out."""

from contextlib import ExitStack

import pytest

from gateway.admission import RETRY_AFTER_S
from gateway.places import Places
from steeple_rpc.errors import Overloaded
from steeple_rpc.principal import Principal

ALICE, BOB = Principal(name="alice"), Principal(name="bob")


def eight() -> Places:
    return Places(8, calls="watches", full="TOO_MANY_WATCHERS")


def refusal(places: Places, *principal: Principal) -> Overloaded:
    with pytest.raises(Overloaded) as caught, places.held(*principal):
        pass
    return caught.value


def test_callers_without_names_share_all_places() -> None:
    places = eight()
    with ExitStack() as held:
        for _ in range(8):
            held.enter_context(places.held())
        error = refusal(places)
        assert (error.reason, error.retry_after_s) == ("TOO_MANY_WATCHERS", RETRY_AFTER_S)
        assert error.message == "8 watches are live; the limit is 8"
    with places.held():
        pass


def test_one_caller_holds_its_part_and_others_come_in() -> None:
    """A quarter; the refusal tells value and limit, and takes nothing."""
    places = eight()
    with places.held(ALICE), places.held(ALICE):
        for _ in range(3):
            error = refusal(places, ALICE)
            assert (error.reason, error.retry_after_s) == ("PRINCIPAL_QUOTA", RETRY_AFTER_S)
            assert error.message == "2 of your watches are live; the limit for one caller is 2"
        with places.held(BOB), places.held(BOB):
            assert refusal(places, BOB).reason == "PRINCIPAL_QUOTA"
    with places.held(ALICE), places.held(ALICE):
        pass


def test_callers_within_their_part_are_told_when_all_is_full() -> None:
    places = eight()
    with ExitStack() as held:
        for index in range(8):
            held.enter_context(places.held(Principal(name=f"p{index}")))
        assert refusal(places, ALICE).reason == "TOO_MANY_WATCHERS"


def test_a_part_is_one_place_at_least() -> None:
    places = Places(2, calls="watches", full="TOO_MANY_WATCHERS")
    with places.held(ALICE), places.held(BOB):
        assert refusal(places, ALICE).reason == "PRINCIPAL_QUOTA"


def test_a_place_comes_back_when_its_call_fails_and_no_name_is_kept() -> None:
    """Names come from certificates and tokens: they must not gather."""
    places = eight()
    for index in range(20):
        with pytest.raises(RuntimeError), places.held(Principal(name=f"p{index}")):
            raise RuntimeError
    assert places._num_held == {}

"""Permits: counted per model, given back on every way out, ids unique while live."""

import pytest

from gateway.admission import RETRY_AFTER_S, Admission
from steeple_rpc.errors import AlreadyExists, Overloaded
from steeple_rpc.principal import Principal


def test_a_permit_is_held_while_in_the_block() -> None:
    admission = Admission()
    with admission.permit("m", "a", 2), admission.permit("m", "b", 2):
        assert admission.num_live("m") == 2
    assert admission.num_live("m") == 0


def test_one_more_than_the_limit_is_refused_with_a_time_to_come_back() -> None:
    admission = Admission()
    with (
        admission.permit("m", "a", 1),
        pytest.raises(Overloaded, match="the limit is 1") as caught,
        admission.permit("m", "b", 1),
    ):
        pass
    assert caught.value.reason == "QUEUE_FULL"
    assert caught.value.retry_after_s == RETRY_AFTER_S


def test_a_refusal_takes_no_place() -> None:
    admission = Admission()
    with admission.permit("m", "a", 1):
        for _ in range(3):
            with pytest.raises(Overloaded), admission.permit("m", "b", 1):
                pass
        assert admission.num_live("m") == 1
    with admission.permit("m", "b", 1):
        assert admission.num_live("m") == 1


def test_a_place_comes_back_when_a_request_fails() -> None:
    admission = Admission()
    with pytest.raises(RuntimeError), admission.permit("m", "a", 1):
        raise RuntimeError
    with admission.permit("m", "a", 1):
        assert admission.num_live("m") == 1


def test_models_do_not_take_each_others_places() -> None:
    admission = Admission()
    with admission.permit("m", "a", 1), admission.permit("n", "b", 1):
        assert (admission.num_live("m"), admission.num_live("n")) == (1, 1)


def test_an_id_is_unique_over_all_models_while_it_is_live() -> None:
    admission = Admission()
    with admission.permit("m", "a", 9):
        with pytest.raises(AlreadyExists) as caught, admission.permit("n", "a", 9):
            pass
        assert (caught.value.reason, caught.value.field) == ("REQUEST_EXISTS", "request_id")
        assert (admission.num_live("m"), admission.num_live("n")) == (1, 0)
    with admission.permit("n", "a", 9):
        pass


def test_a_principal_holds_at_most_its_share_and_others_come_in() -> None:
    """Of four places at a half: two; the refusal says so and takes nothing."""
    admission = Admission(max_share=0.5)
    alice, bob = Principal(name="alice"), Principal(name="bob")
    with admission.permit("m", "a", 4, alice), admission.permit("m", "b", 4, alice):
        with (
            pytest.raises(Overloaded, match="your share of this model's 4 places is 2") as caught,
            admission.permit("m", "c", 4, alice),
        ):
            pass
        assert (caught.value.reason, caught.value.retry_after_s) == ("PRINCIPAL_QUOTA", 1.0)
        with admission.permit("m", "a", 4, bob), admission.permit("m", "b", 4, bob):
            assert admission.num_live("m") == 4
    with admission.permit("m", "c", 4, alice):
        assert admission.num_live("m") == 1


def test_a_share_of_its_own_goes_before_the_default_and_is_counted_by_model() -> None:
    admission = Admission(max_share=1.0)
    alice = Principal(name="alice", max_share=0.01)
    with admission.permit("m", "a", 4, alice):
        with pytest.raises(Overloaded), admission.permit("m", "b", 4, alice):
            pass
        with admission.permit("n", "b", 4, alice):
            pass


def test_a_principal_that_fills_a_whole_model_is_told_that_it_is_full() -> None:
    """Where the share is everything the quota says nothing."""
    admission = Admission()
    alice = Principal(name="alice")
    with (
        admission.permit("m", "a", 1, alice),
        pytest.raises(Overloaded) as caught,
        admission.permit("m", "b", 1, alice),
    ):
        pass
    assert caught.value.reason == "QUEUE_FULL"


def test_an_id_belongs_to_its_principal() -> None:
    """Two tenants may use the same id at once; one tenant may not."""
    admission = Admission()
    alice, bob = Principal(name="alice"), Principal(name="bob")
    with admission.permit("m", "a", 9, alice), admission.permit("m", "a", 9, bob):
        with pytest.raises(AlreadyExists), admission.permit("m", "a", 9, alice):
            pass
        assert admission.num_live("m") == 2


def test_nothing_is_remembered_of_a_principal_that_has_left() -> None:
    """Names come from certificates and tokens: they must not gather."""
    admission = Admission()
    for index in range(3):
        with admission.permit("m", "a", 9, Principal(name=f"p{index}")):
            pass
    assert (admission._num_held, admission._num_live, admission._ids) == ({}, {}, set())

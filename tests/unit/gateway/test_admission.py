"""Permits: counted per model, given back on every way out, ids unique while live."""

import pytest

from gateway.admission import RETRY_AFTER_S, Admission
from steeple_rpc.errors import AlreadyExists, Overloaded


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

"""How a value is held to its bounds."""

import math

import pytest

from steeple_rpc.errors import InvalidRequest
from steeple_rpc.limits import (
    Bounds,
    check_count,
    check_number,
    check_text,
    check_token_ids,
    check_token_keys,
)

INF = math.inf
NAN = math.nan


@pytest.mark.parametrize(
    ("bounds", "inside", "outside"),
    [
        (Bounds(low=0, high=1), [0, 0.5, 1], [-1e-9, 1 + 1e-9, INF, -INF, NAN]),
        (Bounds(low=0, high=1, is_low_open=True), [1e-9, 1], [0, -0.0, NAN]),
    ],
)
def test_bounds_are_closed_but_where_they_are_open(
    bounds: Bounds, inside: list[float], outside: list[float]
) -> None:
    assert all(bounds.holds(value) for value in inside)
    assert not any(bounds.holds(value) for value in outside)


def test_a_list_may_have_as_many_entries_as_its_limit() -> None:
    check_count("inputs", 8, 8)
    with pytest.raises(InvalidRequest, match="at most 8 entries; it has 9") as caught:
        check_count("inputs", 9, 8)
    assert (caught.value.field, caught.value.reason) == ("inputs", "TOO_MANY")


def test_the_first_id_beyond_the_vocabulary_is_named() -> None:
    check_token_ids("ids", [], 10)
    check_token_ids("ids", [0, 9], 10)
    with pytest.raises(InvalidRequest, match="vocabulary size 10; it is 10") as caught:
        check_token_ids("ids", [0, 10, 99], 10)
    assert (caught.value.field, caught.value.reason) == ("ids[1]", "TOKEN_OUT_OF_RANGE")


def test_the_greatest_key_beyond_the_vocabulary_is_named() -> None:
    check_token_keys("bias", {}, 10)
    check_token_keys("bias", {9: 1.0}, 10)
    with pytest.raises(InvalidRequest, match="vocabulary size 10; one is 11") as caught:
        check_token_keys("bias", {3: 1.0, 11: 1.0, 10: 1.0}, 10)
    assert (caught.value.field, caught.value.reason) == ("bias", "TOKEN_OUT_OF_RANGE")


@pytest.mark.parametrize("text", ["", "x" * 9, "é" * 5])
def test_a_text_is_measured_in_bytes_and_never_told(text: str) -> None:
    check_text("word", "é" * 4, 8)
    with pytest.raises(
        InvalidRequest, match=f"1 to 8 bytes; it has {len(text.encode())}"
    ) as caught:
        check_text("word", text, 8)
    assert caught.value.reason == "OUT_OF_RANGE"
    assert not text or text not in caught.value.message


def test_a_number_out_of_bounds_is_told_with_them() -> None:
    check_number("share", 0.5, Bounds(low=0, high=1))
    with pytest.raises(InvalidRequest) as caught:
        check_number("share", 1.5, Bounds(low=0, high=1))
    assert caught.value.message == "share must be 0 to 1; it is 1.5"

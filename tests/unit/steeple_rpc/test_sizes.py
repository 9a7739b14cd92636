"""Numbers as people read them."""

import pytest

from steeple_rpc.sizes import bytes_text, number_text, seconds_text


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (3 << 20, "3.0 MiB"),
        (int(3.14 * 2**30), "3.1 GiB"),
        (1 << 80, "1048576.0 EiB"),
    ],
)
def test_sizes_have_the_largest_unit(size: int, text: str) -> None:
    assert bytes_text(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0.0 ms"),
        (0.00081, "0.8 ms"),
        (0.0124, "12 ms"),
        (1.04, "1.0 s"),
        (99.9, "99.9 s"),
        (307.4, "5 min 7 s"),
    ],
)
def test_times_have_the_digits_that_matter(seconds: float, text: str) -> None:
    assert seconds_text(seconds) == text


@pytest.mark.parametrize(
    ("number", "text"), [(2.0, "2"), (0.52, "0.5"), (1538.7, "1,539"), (32768, "32,768")]
)
def test_numbers_are_short(number: float, text: str) -> None:
    assert number_text(number) == text

"""Numbers as people write them."""

import pytest

from steeple_rpc.quantities import parse_quantity


@pytest.mark.parametrize(
    ("written", "number"),
    [
        ("4096", 4096),
        ("32,768", 32768),
        ("32_768", 32768),
        ("1,234,567.5k", 1_234_567_500),
        (" 7 ", 7),
        ("32k", 32_000),
        ("32K", 32_768),
        ("25.6k", 25_600),
        ("1.5K", 1536),
        ("2m", 2_000_000),
        ("4G", 4 << 30),
        ("4g", 4 * 10**9),
        ("4GiB", 4 << 30),
        ("4gib", 4 << 30),
        ("4GB", 4 * 10**9),
        ("4 gb", 4 * 10**9),
        ("0.5TiB", 1 << 39),
        ("12b", 12),
        ("19.6MiB", 20_552_089),
        (5, 5),
        (None, None),
    ],
)
def test_a_number_is_read_as_it_is_meant(written: object, number: object) -> None:
    assert parse_quantity(written) == number


@pytest.mark.parametrize(
    "written",
    ["", "k", "4 gigs", "-1", "1e3", "four", "4KK", "4ib", "٤", ",5", "0x10", "4KiBB", "1e400"],
)
def test_what_is_no_number_is_told_with_how_to_write_one(written: str) -> None:
    with pytest.raises(ValueError, match=r"4k \(4,000\)"):
        parse_quantity(written)


@pytest.mark.parametrize("written", ["1,5 GiB", "1,,000", "1000,000", "1_", "1__0", "1,000_000"])
def test_a_comma_that_ends_no_thousands_is_not_passed_over(written: str) -> None:
    """1,5 GiB is one and a half to half the world: never 15."""
    with pytest.raises(ValueError, match="is not a number"):
        parse_quantity(written)


def test_a_truth_is_no_number() -> None:
    """As in a file: `max_num_seqs = true`."""
    with pytest.raises(ValueError, match="true is not a number"):
        parse_quantity(True)  # noqa: FBT003 - what a file holds


def test_half_a_token_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'1\.5' is not a whole number"):
        parse_quantity("1.5")

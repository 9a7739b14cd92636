"""Growing operations are charged before they run, not when the memory is full."""

from typing import Any

import pytest

from tokenizer_svc.chat.template_costs import (
    charge_arguments,
    charge_product,
    check_brace_format,
    check_percent_format,
    listed,
)
from tokenizer_svc.chat.template_meter import Meter, RenderLimits, TemplateLimit

LONG = "a\n" * 600


@pytest.fixture
def meter() -> Meter:
    return Meter(RenderLimits(max_chars=1, max_work=100_000, max_cpu_s=1.0), lambda: 0.0)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("replace", (LONG, "a", LONG)),
        ("join", (LONG, ["x"] * 600)),
        ("join", (["x"] * 600, LONG)),
        ("indent", (LONG, 1000)),
        ("indent", (LONG, LONG)),
        ("ljust", ("a", 10**9)),
        ("expandtabs", ("\t" * 600, 1000)),
        ("upper", ([[LONG] * 50] * 50,)),
        ("format", ("%*d", 1)),
    ],
)
def test_what_will_grow_too_much_is_refused(
    meter: Meter, name: str, arguments: tuple[Any, ...]
) -> None:
    with pytest.raises(TemplateLimit):
        charge_arguments(meter, name, arguments)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("replace", (LONG, "b", LONG)),
        ("replace", (LONG, "a", "b")),
        ("join", (", ", ["x"] * 600)),
        ("indent", (LONG, 4)),
        ("upper", (LONG,)),
        ("format", ("%s is %5.2f", "a", 1)),
    ],
)
def test_what_stays_small_is_not(meter: Meter, name: str, arguments: tuple[Any, ...]) -> None:
    charge_arguments(meter, name, arguments)


@pytest.mark.parametrize(
    ("operator", "left", "right"),
    [("*", "ab", 10**9), ("*", 10**9, [1]), ("**", 9, 9**9), ("*", 2**4000, 2**4000)],
)
def test_large_products_are_refused(meter: Meter, operator: str, left: Any, right: Any) -> None:
    with pytest.raises(TemplateLimit):
        charge_product(meter, operator, left, right)


@pytest.mark.parametrize(
    ("operator", "left", "right"),
    [("*", "ab", 3), ("*", 3, 4.5), ("**", 2, 10), ("*", "ab", -(10**9)), ("**", 2, -1)],
)
def test_small_products_are_not(meter: Meter, operator: str, left: Any, right: Any) -> None:
    charge_product(meter, operator, left, right)


def test_usual_formats_are_taken() -> None:
    """With widths that people use; text around them may be anything."""
    check_percent_format("100000 %% of %5.2f and %-20s, * {")
    check_brace_format('{{"a": {}}} {:>20} {0[name]} 100000')


def test_lazy_sequences_are_counted() -> None:
    """Others stay what they are."""
    values = ["a", 1, {"b": 2}]
    assert listed([*values, iter("cd")]) == (*values, ["c", "d"])

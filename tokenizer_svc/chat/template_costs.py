"""What the growing operations of templates will cost, known before they run."""

import re
from collections.abc import Iterator, Sequence
from string import Formatter
from typing import Any

from jinja2 import Environment
from jinja2.nodes import EvalContext
from jinja2.runtime import Context

from tokenizer_svc.chat.template_meter import Meter, TemplateLimit, size_of

# jinja2 passes values of templates around: any type.
Value = Any

MAX_INT_BITS = 4096
_PADDED = re.compile(r"\d{4,}")
_PERCENT = re.compile(r"%[^%a-zA-Z]*")
_PADDING = frozenset({"batch", "expandtabs", "indent", "ljust", "rjust", "slice", "zfill"})


def listed(arguments: Sequence[Value]) -> tuple[Value, ...]:
    """The arguments, with lazy sequences made into lists: only then is their size known."""
    return tuple(list(value) if isinstance(value, Iterator) else value for value in arguments)


def charge_arguments(meter: Meter, name: str, arguments: Sequence[Value]) -> None:
    """Charge a filter or a method of a text for what it is about to write.

    Args:
        meter: the account.
        name: of the filter or method.
        arguments: all of them, the filtered value or the text itself first.

    Raises:
        TemplateLimit: it would write too much.
    """
    values = [v for v in arguments if not isinstance(v, EvalContext | Context | Environment)]
    for value in values:
        meter.check_depth(value)
    meter.spend(_growth(name, values))


def _growth(name: str, values: Sequence[Value]) -> int:
    match name, values:
        case "replace", [str() as text, str() as old, str() as new, *_]:
            return text.count(old) * len(new)
        case "join", [first, second, *_]:
            return size_of(first) * size_of(second)
        case "format", [str() as text, *_]:
            # As a filter this is the `%` operator; as a method its format was checked already.
            check_percent_format(text)
        case _ if name in _PADDING:
            return _padding(values)
    return 0


def _padding(values: Sequence[Value]) -> int:
    """Every line or tab padded to the largest width."""
    num_places = 1 + sum(v.count("\n") + v.count("\t") for v in values if isinstance(v, str))
    widths = [value for value in values if isinstance(value, int)]
    texts = [len(value) for value in values[1:] if isinstance(value, str)]
    return num_places * max(0, *widths, *texts) if widths or texts else 0


def charge_product(meter: Meter, operator: str, left: Value, right: Value) -> None:
    """Charge a product or power.

    Raises:
        TemplateLimit: it would be too large.
    """
    if isinstance(left, int) and isinstance(right, int):
        power = left.bit_length() * abs(right) if operator == "**" else 0
        if power + left.bit_length() + right.bit_length() > MAX_INT_BITS:
            raise TemplateLimit("the model's chat template computes too large a number")
    elif isinstance(left, int) or isinstance(right, int):
        times, what = (left, right) if isinstance(left, int) else (right, left)
        meter.spend(max(0, times) * size_of(what))


def check_percent_format(text: str) -> None:
    """Refuse a `%` format that pads to thousands of characters, or to a number from elsewhere.

    Raises:
        TemplateLimit: it does.
    """
    for spec in _PERCENT.findall(text):
        _check_spec(spec, nested="*")


def check_brace_format(text: str) -> None:
    """Refuse a `str.format` format that pads likewise.

    Raises:
        TemplateLimit: it does.
        ValueError: it is no format.
    """
    for _, _, spec, _ in Formatter().parse(text):
        _check_spec(spec or "", nested="{")


def _check_spec(spec: str, *, nested: str) -> None:
    if nested in spec or _PADDED.search(spec):
        raise TemplateLimit("the model's chat template asks for too much padding")

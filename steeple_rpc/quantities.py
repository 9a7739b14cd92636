"""Numbers as people write them: 32k tokens, 4GiB of memory, 32,768.

A lone letter means what it means to vLLM: small is decimal (32k = 32,000), capital is binary
(32K = 32,768). With B it is decimal (GB), with iB binary (GiB), in any case of the letters.
"""

import re
from decimal import Decimal
from typing import Annotated

from pydantic import BeforeValidator

# Commas stand where thousands end, or nowhere: 1,5 is one and a half to some.
_WRITTEN = re.compile(
    r"(?P<number>(\d{1,3}(,\d{3})+|\d+(_\d+)*)(\.\d+)?)\s*(?P<letter>[kmgt]?)(?P<rest>(i?b)?)",
    re.IGNORECASE | re.ASCII,
)
_LETTERS = "kmgt"
_KIBI, _KILO = 1024, 1000


def parse_quantity(written: object) -> object:
    """The whole number that a text stands for, rounded down; what is no text comes back as it is.

    Raises:
        ValueError: the text is none, or it is a truth; tells how to write one.
    """
    if isinstance(written, bool):
        # Python would take it for 1 or 0.
        raise ValueError(f"{str(written).lower()} is not a number")  # noqa: TRY004 - pydantic's
    if not isinstance(written, str):
        return written
    found = _WRITTEN.fullmatch(written.strip())
    if found is None or (found["rest"].lower() == "ib" and not found["letter"]):
        raise ValueError(f"{written!r} is not a number: write 4096, 4k (4,000), 4K or 4KiB (4,096)")
    number = Decimal(re.sub("[,_]", "", found["number"]))
    exact = number * _factor(found["letter"], found["rest"].lower())
    if not found["letter"] and exact != exact.to_integral_value():
        raise ValueError(f"{written!r} is not a whole number")
    return int(exact)


def _factor(letter: str, rest: str) -> int:
    if not letter:
        return 1
    is_binary = rest == "ib" or (not rest and letter.isupper())
    power = 1 + _LETTERS.index(letter.lower())
    return int((_KIBI if is_binary else _KILO) ** power)


Quantity = Annotated[int, BeforeValidator(parse_quantity)]
"""A setting's whole number, which may be written so."""

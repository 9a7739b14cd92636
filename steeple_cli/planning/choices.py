"""The options that only some policies read, from the command line to `BatchingOptions`."""

from collections.abc import Iterable, Sequence
from enum import Enum
from typing import TypeVar

from engine_svc.core.batching import WarmupShape
from engine_svc.policy_options import READ_BY, parse_shapes
from steeple_cli.planning.errors import PlanRefused

_Choice = TypeVar("_Choice", bound=Enum)


def option_name(field: str) -> str:
    """A field as it is written on the command line."""
    return f"--{field.replace('_', '-')}"


def check_read_by_some(given: Iterable[str], policies: Sequence[str]) -> None:
    """Refuse an option that none of the policies reads.

    Args:
        given: the fields that were set.
        policies: the chosen ones.

    Raises:
        PlanRefused: names the option and the policies that read it.
    """
    for field in given:
        readers = READ_BY.get(field, policies)
        if not set(readers) & set(policies):
            raise PlanRefused(
                f"{option_name(field)} is read by {', '.join(readers)};"
                f" --scheduler is {','.join(policies)}"
            )


def choice(field: str, kind: type[_Choice], given: str | None, default: _Choice) -> _Choice:
    """The member of `kind` that was named; the default if none was.

    Raises:
        PlanRefused: there is no such member.
    """
    if given is None:
        return default
    try:
        return kind(given)
    except ValueError:
        names = " or ".join(str(member.value) for member in kind)
        raise PlanRefused(f"{option_name(field)} is {names}; it is {given!r}") from None


def shapes(given: str | None) -> tuple[WarmupShape, ...]:
    """The warm-up shapes that were given.

    Raises:
        PlanRefused: they are malformed; names the one.
    """
    try:
        return () if given is None else parse_shapes(given)
    except ValueError as error:
        raise PlanRefused(f"--warmup-shapes: {error}") from None

"""What is said of settings that cannot be used: where each stands, and what is wrong with it."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError
from pydantic_settings import SettingsError

# What stands before the words of a validator of ours.
_NOT_OURS = "Value error, "
_MISSING = "Field required"
# What is no list that can be read is told as a text alone.
_UNREADABLE = re.compile(r'(?:for field "|encountered for )(?P<name>\w+)')
_AS_JSON = 'several are written as JSON: ["A", "B"]'


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """All that one service was told, in the order in which it counts."""

    arguments: Sequence[str]
    """The command line, with flags of ours."""
    variables: Collection[str]
    """The names in the environment."""
    prefix: str
    """Of those that are the service's."""
    old: Mapping[str, Sequence[str]]
    """Variables of an older system, by the setting that they come to."""
    file: Path | None
    table: str
    """The service's in the file."""
    keys: Collection[str]
    """What that table has."""

    def told(self, name: str, fault: str) -> str:
        """One fault of the setting of this name, with the place to mend it."""
        flag = f"--{name.replace('_', '-')}"
        variable = f"{self.prefix}{name}".upper()
        if self._is_typed(flag):
            return f"{flag}: {fault}"
        if variable in self.variables:
            return f"{variable}: {fault}"
        if olds := self.old.get(name):
            return f"{flag}: {fault} (old variables say so: {', '.join(olds)})"
        if name in self.keys:
            return f"{self.file}: {name} of [{self.table}]: {fault}"
        return f"{flag}: {fault}"

    def _is_typed(self, flag: str) -> bool:
        names = {flag, flag.replace("--", "--no-", 1)}
        return any(argument.partition("=")[0] in names for argument in self.arguments)


def faults_of(error: ValidationError | SettingsError, given: Given) -> Iterator[str]:
    """Every fault that was found, one a line."""
    if isinstance(error, ValidationError):
        yield from (_invalid(one["loc"], one["msg"], given) for one in error.errors())
    elif found := _UNREADABLE.search(str(error)):
        yield given.told(found["name"], _AS_JSON)
    else:
        yield str(error)


def _invalid(location: Sequence[int | str], message: str, given: Given) -> str:
    """It has no location where several settings together are wrong."""
    told = message.removeprefix(_NOT_OURS)
    if told == _MISSING:
        told = "it must be given"
    if not location:
        return told
    name, *within = location
    items = (f"item {part + 1}: " if isinstance(part, int) else f"{part}: " for part in within)
    return given.told(str(name), "".join(items) + told)

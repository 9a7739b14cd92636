"""What variables of an older system come to, as one service's settings know it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """What is logged about an old variable."""

    event: str
    facts: Mapping[str, object]
    is_warning: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class OldSettings:
    """Settings that old variables stand for."""

    values: Mapping[str, object] = field(default_factory=dict)
    """By the setting's name."""
    origins: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """The variables that each of them comes from."""
    remarks: Sequence[Remark] = ()

"""Who calls. A name for quotas, ids and logs; nothing secret."""

from dataclasses import dataclass

MAX_NAME = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """A caller that proved its name, or `ANONYMOUS` where no proof is asked for."""

    name: str
    """1 to MAX_NAME printable characters; empty for `ANONYMOUS` alone."""
    max_share: float | None = None
    """The part of the places, above 0 to 1, that it may hold; None = the service's default."""

    @property
    def is_known(self) -> bool:
        """Whether it proved who it is."""
        return self.name != ""


ANONYMOUS = Principal(name="")


def is_name(text: str) -> bool:
    """Whether `text` can be the name of a principal: short, printable, on one line."""
    return 0 < len(text) <= MAX_NAME and text.isprintable()

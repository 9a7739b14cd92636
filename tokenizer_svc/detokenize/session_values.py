"""What a detokenize session is asked for, and what it has to tell."""

from dataclasses import dataclass

from steeple_rpc.limits import check_count, check_text
from steeple_rpc.parameters import MAX_STOP_BYTES, MAX_STOPS

MAX_ASIDE_IDS = 4096
"""Of one push."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionOptions:
    """What a session is opened with, besides ids."""

    stops: tuple[str, ...] = ()
    min_tokens: int = 0
    """Stop strings count only in the text that appears after so many output ids."""
    skip_special_tokens: bool = True
    include_stop_in_output: bool = False
    token_texts: bool = False
    """Tell each consumed id's own text."""

    def __post_init__(self) -> None:
        check_count("stop", len(self.stops), MAX_STOPS)
        for place, stop in enumerate(self.stops):
            check_text(f"stop[{place}]", stop, MAX_STOP_BYTES)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenText:
    """An id and what it is alone."""

    id: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What a session has to tell."""

    text: str
    """New text; never part of a character, never text that may yet become a stop string."""
    ids_consumed: int
    """Output ids, prior ones included, whose text has been told completely."""
    ids_received: int = 0
    """Output ids, prior ones included, that had been pushed when this was told."""
    matched_stop: str | None = None
    """Set where a stop string was found; the session is over."""
    is_final: bool = False
    """Answers a final push; the session is over."""
    tokens: tuple[TokenText, ...] = ()
    """The ids that this progress consumed, where asked for."""
    aside_texts: tuple[str, ...] = ()
    """The own texts of the aside ids pushed since the last progress, in order."""

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come."""
        return self.is_final or self.matched_stop is not None

"""What one caller asked for and saw, event by event. Recorded first, judged afterwards."""

from dataclasses import dataclass, field
from enum import Enum, auto

from steeple_client import Event, GenerateOptions, Message, TextDelta, Usage
from steeple_rpc.errors import ServiceError


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadRequest:
    """One request to send, and how its caller behaves."""

    name: str
    """Unique in one load."""
    prompt: str | tuple[int, ...] | tuple[Message, ...]
    """A text, token ids, or a conversation."""
    options: GenerateOptions = field(default_factory=GenerateOptions)
    leaves_after: int | None = None
    """Events after which the caller cancels; None = stays to the end."""
    pause_s: float = 0.0
    """What the caller waits before it reads the next event."""
    due_s: float | None = None
    """When it is to be sent, on the callers' clock; None = as soon as its caller is free."""
    is_warm_up: bool = False
    """Sent, but not judged."""


class End(Enum):
    """How a stream ended for its caller."""

    DONE = auto()
    FAILED = auto()
    LEFT = auto()
    """The caller cancelled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """One stream as its caller saw it; times in seconds on the caller's clock."""

    request: LoadRequest
    sent_s: float
    events: tuple[tuple[float, Event], ...]
    """Each with the time at which it came."""
    ended_s: float
    end: End
    error: ServiceError | None = None
    """With FAILED: the status."""

    @property
    def text(self) -> str:
        """All that was delivered."""
        return "".join(event.text for _, event in self.events if isinstance(event, TextDelta))

    @property
    def num_tokens(self) -> int:
        """Output tokens delivered."""
        counts = [e.num_completion_tokens for _, e in self.events if isinstance(e, TextDelta)]
        return counts[-1] if counts else 0

    @property
    def usage(self) -> Usage | None:
        """What the server says it consumed; None without a regular end."""
        return next((event for _, event in self.events if isinstance(event, Usage)), None)

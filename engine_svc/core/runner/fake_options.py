"""What the fake runner can be told; the front knows it too."""

from dataclasses import dataclass
from enum import Enum

from engine_svc.core.params import TokenId


class FakeReply(Enum):
    """What a fake model says."""

    ECHO = "echo"
    """The prompt again and again, for ever."""
    ECHO_ONCE = "echo_once"
    """The prompt once, then an end token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeOptions:
    """How a fake model behaves."""

    reply: FakeReply = FakeReply.ECHO
    step_s: float = 0.0
    """How long a step takes."""
    eos_token_id: TokenId = 0
    fault_token_id: TokenId | None = None
    """A prompt with this token has no finite logits."""
    raise_token_id: TokenId | None = None
    """A step with a prompt token like this raises."""

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
    SAMPLED = "sampled"
    """Whatever is chosen from logits that follow from all tokens before: seeds, penalties, bans
    and log-probabilities count as with a model."""


class FakeFailure(Enum):
    """How a fake step fails where the script says so."""

    RAISE = "raise"
    """It raises."""
    HANG = "hang"
    """It never returns, whatever signals come."""
    CRASH = "crash"
    """It kills its process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeOptions:
    """How a fake model behaves."""

    reply: FakeReply = FakeReply.ECHO
    step_s: float = 0.0
    """How long a step takes."""
    eos_token_id: TokenId = 0
    fault_token_id: TokenId | None = None
    """A prompt with this token has no finite logits."""
    failure: FakeFailure = FakeFailure.RAISE
    raise_token_id: TokenId | None = None
    """A step that computes this token fails."""
    failure_step: int | None = None
    """The step that fails, counted from 1 where the runner runs it; 0 = the warm-up. A part of it
    that is run again counts as another step."""
    failure_lasts: bool = False
    """With `failure_step`: every later step fails too, and so does the probe."""

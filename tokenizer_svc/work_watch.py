"""The seam through which metrics learn of the work that takes CPU time."""

from enum import Enum


class Work(Enum):
    """What is done off the event loop."""

    ENCODE = "encode"
    RENDER = "render"
    DECODE = "decode"


class WorkWatch:
    """Told what was done. This one takes no note of it."""

    def worked(self, work: Work, model: str, seconds: float) -> None:
        """One text was encoded, one conversation rendered or one sequence decoded, or refused.

        Args:
            work: what.
            model: served name.
            seconds: with the time that it waited for a thread.
        """

    def encoded(self, model: str, num_tokens: int) -> None:
        """A prompt came to so many ids."""

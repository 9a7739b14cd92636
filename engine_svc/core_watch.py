"""The seam through which metrics learn what the core does."""

from engine_svc.core.messages import StepOutputs


class CoreWatch:
    """Told what the core tells, and when it is lost. This one takes no note of it."""

    def stepped(self, outputs: StepOutputs) -> None:
        """A step, or the messages before it, did this."""

    def core_lost(self) -> None:
        """The core is gone: what it counts begins at 0 again."""

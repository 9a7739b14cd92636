"""The seam to the checkers: one per policy, fed every step of one scheduler."""

from typing import Protocol

from engine_svc.core.outputs import ScheduledSequence, SchedulerOutput
from engine_svc.core.request_spec import RequestSpec
from engine_svc.core.scheduler.base import SchedulerConfig
from tests.support.rules.known import KnownRequests


class Checker(Protocol):
    """Knows the rules that bind one policy, and what its scheduler has done so far."""

    def can_run_alone(self, spec: RequestSpec) -> bool:
        """Whether a request could run if there were no others."""

    def check(self, step: SchedulerOutput, requests: KnownRequests) -> None:
        """Refuse a step that breaks a rule; enter it otherwise.

        Args:
            step: what was just decided.
            requests: all that live now.

        Raises:
            AssertionError: the rule, what it asks for, what the step has.
        """

    def spoil(self, sequences: tuple[ScheduledSequence, ...]) -> None:
        """These sequences of the last step failed: what they wrote is worth nothing."""


class CheckerFactory(Protocol):
    """Makes the checker of a policy."""

    def __call__(self, config: SchedulerConfig) -> Checker:
        """Make one for a scheduler with these bounds."""

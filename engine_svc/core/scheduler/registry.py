"""The policies by name. A new policy is its file and one line here."""

from collections.abc import Mapping

from engine_svc.core.scheduler.base import SchedulerFactory
from engine_svc.core.scheduler.continuous import ContinuousScheduler

SCHEDULERS: Mapping[str, SchedulerFactory] = {
    "continuous": ContinuousScheduler,
}

"""The policies by name. A new policy is its file and one line here."""

from collections.abc import Mapping

from engine_svc.core.errors import StartupError
from engine_svc.core.scheduler.base import SchedulerFactory
from engine_svc.core.scheduler.continuous import ContinuousScheduler
from engine_svc.core.scheduler.spyre_chunked import SpyreChunkedScheduler
from engine_svc.core.scheduler.spyre_continuous import SpyreContinuousScheduler
from engine_svc.core.scheduler.static import StaticScheduler

SCHEDULERS: Mapping[str, SchedulerFactory] = {
    "continuous": ContinuousScheduler,
    "static": StaticScheduler,
    "spyre_continuous": SpyreContinuousScheduler,
    "spyre_chunked": SpyreChunkedScheduler,
}


def scheduler_factory(name: str) -> SchedulerFactory:
    """The policy of a name.

    Raises:
        StartupError: there is none; names those that there are.
    """
    if name not in SCHEDULERS:
        raise StartupError(f"--scheduler {name}: choose one of {', '.join(SCHEDULERS)}")
    return SCHEDULERS[name]

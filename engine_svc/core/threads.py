"""How many threads torch gets, and how they wait. Read before torch is imported.

A pool whose threads spin loses a scheduler slice at every operation as soon as another process
wants one of its cores: that is ten times slower than one thread alone. So one core stays free for
the rest of the service, and threads wait passively.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from engine_svc.core.cgroup import OWN, ROOT, own_groups

_WAIT_POLICY = "OMP_WAIT_POLICY"


def default_num_threads(num_cores: float) -> int:
    """All cores but one, at least one; of a quota's fraction of a core nothing."""
    return max(1, int(num_cores) - 1)


def thread_environment(num_threads: int, environ: Mapping[str, str]) -> dict[str, str]:
    """What to add to the environment of a child process that computes with so many threads.

    Args:
        num_threads: at least 1.
        environ: the environment that the child inherits; a wait policy in it is the user's choice.
    """
    added = {"OMP_NUM_THREADS": str(num_threads)}
    if _WAIT_POLICY not in environ:
        added[_WAIT_POLICY] = "PASSIVE"
    return added


def available_cores(*, cgroup_root: Path = ROOT, own_cgroup: Path = OWN) -> float:
    """Cores that this process may use: its affinity, or less where its control group says so.

    Args:
        cgroup_root: where control groups are mounted.
        own_cgroup: the file that tells in which one this process is.
    """
    cores = float(len(os.sched_getaffinity(0)))
    return min([cores, *_quotas(cgroup_root, own_cgroup), *_quota_version_1(cgroup_root)])


def _quota_version_1(root: Path) -> Iterator[float]:
    """The quota of the mounted group, which in a container is the container's; -1 is none."""
    quota, period = (root / "cpu" / f"cpu.cfs_{name}_us" for name in ("quota", "period"))
    if quota.is_file() and period.is_file() and int(quota.read_text()) > 0:
        yield int(quota.read_text()) / int(period.read_text())


def _quotas(root: Path, own_cgroup: Path) -> Iterator[float]:
    """The quota of the process's group and of every group around it, in cores; version 2."""
    for level in own_groups(root=root, own=own_cgroup):
        limit = level / "cpu.max"
        if limit.is_file():
            quota, period = limit.read_text().split()
            if quota != "max":
                yield int(quota) / int(period)

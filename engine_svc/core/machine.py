"""What this machine, or the container around us, really grants."""

import os
from collections.abc import Iterator
from pathlib import Path

from engine_svc.core.cgroup import OWN, ROOT, own_groups

_MEMINFO = Path("/proc/meminfo")


def available_memory_bytes(*, cgroup_root: Path = ROOT, own_cgroup: Path = OWN) -> int:
    """Memory that can still be used: the machine's, or less where a control group says so.

    Args:
        cgroup_root: where control groups are mounted.
        own_cgroup: the file that tells in which one this process is.
    """
    version_2 = _left_version_2(cgroup_root, own_cgroup)
    return min([_meminfo_available(), *version_2, *_left_version_1(cgroup_root / "memory")])


def _left_version_2(root: Path, own_cgroup: Path) -> Iterator[int]:
    for level in own_groups(root=root, own=own_cgroup):
        yield from _left(
            _number(level / "memory.max"),
            _number(level / "memory.current"),
            _statistic(level / "memory.stat", "inactive_file"),
        )


def _left_version_1(group: Path) -> Iterator[int]:
    yield from _left(
        _number(group / "memory.limit_in_bytes"),
        _number(group / "memory.usage_in_bytes"),
        _statistic(group / "memory.stat", "total_inactive_file"),
    )


def _left(limit: int | None, usage: int | None, reclaimable: int) -> Iterator[int]:
    """What a group may still use. Files that were read count as used and can be dropped."""
    if limit is not None and usage is not None:
        yield max(0, limit - max(0, usage - reclaimable))


def _meminfo_available() -> int:
    try:
        lines = _MEMINFO.read_text().splitlines()
    except OSError:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")
    kibibytes = next(line.split()[1] for line in lines if line.startswith("MemAvailable:"))
    return int(kibibytes) * 1024


def _number(path: Path) -> int | None:
    """The number in a control file; None where there is no file or no limit ("max")."""
    try:
        text = path.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdecimal() else None


def _statistic(path: Path, name: str) -> int:
    """A line of memory.stat; 0 where there is none."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.split()[0] == name), 0)

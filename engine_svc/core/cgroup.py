"""The control groups that this process is in: where its limits are written."""

from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")


def own_groups(*, root: Path = ROOT, own: Path = OWN) -> Iterator[Path]:
    """The folders of the process's group and of every group around it, innermost first.

    Version 2; in a container the innermost one that is visible is the container's.

    Args:
        root: where control groups are mounted.
        own: the file that tells in which one this process is.
    """
    group = root / _name(own)
    for level in (group, *group.parents):
        if level.is_relative_to(root):
            yield level


def _name(own: Path) -> str:
    if own.is_file():
        for line in own.read_text().splitlines():
            if line.startswith("0::/"):
                return line.removeprefix("0::/")
    return ""

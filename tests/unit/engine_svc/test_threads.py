"""Torch gets the cores that are really there, less one, and waits for work passively."""

import os
from pathlib import Path

import pytest

from engine_svc.core.threads import available_cores, default_num_threads, thread_environment

MANY = 10**6


@pytest.mark.parametrize(
    ("cores", "threads"), [(0.5, 1), (1, 1), (2, 1), (2.9, 1), (4, 3), (64, 63)]
)
def test_one_core_stays_free(cores: float, threads: int) -> None:
    """For the front of the service; but one thread there must be."""
    assert default_num_threads(cores) == threads


def test_threads_wait_passively_unless_the_user_says_otherwise() -> None:
    """The count always goes in, the policy only where there is none."""
    assert thread_environment(3, {"PATH": "/bin"}) == {
        "OMP_NUM_THREADS": "3",
        "OMP_WAIT_POLICY": "PASSIVE",
    }
    assert thread_environment(1, {"OMP_WAIT_POLICY": "ACTIVE"}) == {"OMP_NUM_THREADS": "1"}


def cores_under(tmp_path: Path, group: str, quotas: dict[str, str]) -> float:
    for name, text in quotas.items():
        path = tmp_path / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    own = tmp_path / "own"
    own.write_text(f"12:cpuset:/elsewhere\n0::{group}\n")
    return available_cores(cgroup_root=tmp_path / "cgroup", own_cgroup=own)


def test_without_a_quota_the_affinity_counts(tmp_path: Path) -> None:
    """No control files at all, or a group without a limit."""
    affinity = len(os.sched_getaffinity(0))
    assert cores_under(tmp_path, "/", {}) == affinity
    assert cores_under(tmp_path, "/", {"cpu.max": "max 100000\n"}) == affinity


def test_a_quota_above_the_affinity_changes_nothing(tmp_path: Path) -> None:
    """The smaller one wins."""
    quotas = {"cpu.max": f"{MANY * 100} 100\n"}
    assert cores_under(tmp_path, "/", quotas) == len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    "quotas",
    [
        {"cpu.max": "50000 100000\n"},
        {"a/cpu.max": "50000 100000\n", "a/b/cpu.max": "max 100000\n"},
        {"a/cpu.max": "90000 100000\n", "a/b/cpu.max": "50000 100000\n"},
        {"cpu/cpu.cfs_quota_us": "50000\n", "cpu/cpu.cfs_period_us": "100000\n"},
    ],
    ids=["of the container", "of the group around", "of the own group", "version 1"],
)
def test_the_smallest_quota_counts(tmp_path: Path, quotas: dict[str, str]) -> None:
    """Wherever on the way from the own group to the root it is set."""
    assert cores_under(tmp_path, "/a/b", quotas) == 0.5


def test_an_unlimited_quota_of_version_1_is_none(tmp_path: Path) -> None:
    """It is written as -1."""
    quotas = {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}
    assert cores_under(tmp_path, "/", quotas) == len(os.sched_getaffinity(0))

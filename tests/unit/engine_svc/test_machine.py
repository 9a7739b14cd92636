"""Memory that a control group grants, with files that were read counted as free."""

from pathlib import Path

import pytest

from engine_svc.core.machine import available_memory_bytes


def write(folder: Path, **files: str) -> None:
    """Control files; a dot in a name is an underscore here."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


def available(root: Path, group: str = "") -> int:
    """What is left for a process in `group`."""
    own = root / "own"
    own.write_text(f"0::/{group}\n")
    return available_memory_bytes(cgroup_root=root, own_cgroup=own)


def test_the_cache_of_files_counts_as_free(tmp_path: Path) -> None:
    """Weights that were just read must not eat the room of the KV cache."""
    write(
        tmp_path,
        memory__max="1000",
        memory__current="900",
        memory__stat="anon 200\ninactive_file 700\n",
    )
    assert available(tmp_path) == 800


@pytest.mark.parametrize("group", ["outer", "outer/inner"])
def test_the_tightest_group_around_the_process_counts(tmp_path: Path, group: str) -> None:
    """Limits of outer groups bind too; a group without one does not."""
    write(tmp_path / "outer", memory__max="500", memory__current="100")
    write(tmp_path / "outer" / "inner", memory__max="max", memory__current="50")
    assert available(tmp_path, group) == 400


def test_version_one_counts_alike(tmp_path: Path) -> None:
    """Other names, same meaning."""
    write(
        tmp_path / "memory",
        memory__limit_in_bytes="1000",
        memory__usage_in_bytes="600",
        memory__stat="total_inactive_file 100\n",
    )
    assert available(tmp_path) == 500


def test_without_a_limit_the_machine_counts(tmp_path: Path) -> None:
    """And never less than nothing is left."""
    write(tmp_path, memory__max="max", memory__current="5")
    assert available(tmp_path) > 1 << 20
    write(tmp_path, memory__max="10", memory__current="50")
    assert available(tmp_path) == 0

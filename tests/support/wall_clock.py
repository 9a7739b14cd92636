"""A wall clock that a test can move for the processes it starts; monotonic clocks stay real."""

import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_suffix(".c")


class WallClock:
    """The offset that all processes see which were started with `variables`.

    Args:
        directory: for the library and the offset.
    """

    def __init__(self, directory: Path) -> None:
        self._offset = directory / "offset"
        self._library = directory / "wall_clock.so"
        self.move(0)
        subprocess.run(
            ["cc", "-shared", "-fPIC", "-O1", "-o", self._library, SOURCE, "-ldl"], check=True
        )

    @property
    def variables(self) -> dict[str, str]:
        """For the environment of a process."""
        return {"LD_PRELOAD": str(self._library), "WALL_CLOCK_OFFSET": str(self._offset)}

    def move(self, seconds: int) -> None:
        """Let the clock be off by so much from now on, for everybody at once."""
        data = struct.pack("q", seconds)
        if not self._offset.exists():
            self._offset.write_bytes(data)
        with self._offset.open("r+b") as file:
            os.pwrite(file.fileno(), data, 0)


@contextmanager
def wall_clock(directory: Path, patch: pytest.MonkeyPatch) -> Iterator[WallClock]:
    """Processes started in the block have a clock that can be moved; skips where it cannot be."""
    if shutil.which("cc") is None or os.name != "posix":
        pytest.skip("moving the wall clock of a process needs a C compiler")
    clock = WallClock(directory)
    with patch.context() as patched:
        for name, value in clock.variables.items():
            patched.setenv(name, value)
        yield clock

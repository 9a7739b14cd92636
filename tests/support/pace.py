"""How long the steps of fake engines take, changed by a test while they run.

Slow steps hold a scene: no answer ends, however late the test, or who it waits for, comes to act.
Then fast ones bring it to its end.
"""

import os
import struct
from collections.abc import Mapping
from pathlib import Path

from tests.support.deployment import ROOT

_SLOW_S = 0.15
_FAST_S = 0.005
_HOOK = Path(__file__).parent / "paced"


class Pace:
    """Of all fake engines that were started with `variables`; fast at first.

    Their --fake-step-ms only has to be more than 0.

    Args:
        directory: for the file that tells it.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / "pace"
        self._path.write_bytes(struct.pack("d", _FAST_S))

    @property
    def variables(self) -> Mapping[str, str]:
        """For the environment of an engine."""
        paths = os.pathsep.join(map(str, (_HOOK, ROOT, ROOT / "protos")))
        return {"PACE_FILE": str(self._path), "PYTHONPATH": paths}

    def slow(self) -> None:
        """Seven steps a second from now on."""
        self._set(_SLOW_S)

    def fast(self) -> None:
        """Two hundred steps a second from now on; a slow one that runs ends at once."""
        self._set(_FAST_S)

    def _set(self, step_s: float) -> None:
        # In place: who reads has the file open.
        with self._path.open("r+b") as file:
            os.pwrite(file.fileno(), struct.pack("d", step_s), 0)

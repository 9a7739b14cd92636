"""Found by a Python process as it starts: an engine's core sleeps as long as PACE_FILE says now.

What is slept already counts, so a new pace is kept at once.
"""

import os
import struct
import sys
import time

_LOOK_S = 0.002


def _keep_pace(path: str) -> None:
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    sleep = time.sleep

    def paced(_: object) -> None:
        begin = time.monotonic()
        while True:
            (wanted_s,) = struct.unpack("d", os.pread(file, 8, 0))
            left_s = begin + wanted_s - time.monotonic()
            if left_s <= 0:
                return
            sleep(min(left_s, _LOOK_S))

    time.sleep = paced


if "engine_svc.core" in sys.orig_argv and "PACE_FILE" in os.environ:
    _keep_pace(os.environ["PACE_FILE"])

"""Waiting for something that another process does, without guessing how long it takes."""

import threading
import time
from collections.abc import Callable

LIMIT_S = 60.0
_PAUSE_S = 0.01


def eventually(condition: Callable[[], bool], told: Callable[[], str] = lambda: "") -> None:
    """Return as soon as `condition` holds; fail with what `told` says if it never does."""
    end = time.monotonic() + LIMIT_S
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < end, f"never came true: {told()}"
        pause.wait(_PAUSE_S)

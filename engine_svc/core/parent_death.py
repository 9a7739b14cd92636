"""The core never outlives its front, whatever either of them was doing."""

import ctypes
import os
import signal
import sys
import threading

_PR_SET_PDEATHSIG = 1
_POLL_S = 1.0


def end_with_parent() -> None:
    """Have this process killed when its parent ends; call once, at its very start.

    On Linux the kernel does it, even to a process that is stopped or stuck in a step. Elsewhere a
    thread looks for it, which a step that never lets go of the interpreter can hold up.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL) == 0:
            return
    threading.Thread(target=_end_after, args=(os.getppid(),), daemon=True).start()


def _end_after(parent: int) -> None:
    pause = threading.Event()
    while os.getppid() == parent:
        pause.wait(_POLL_S)
    os._exit(1)

"""Processes, told apart by what they run."""

from contextlib import suppress

import psutil


def runs(process: psutil.Process, module: str) -> bool:
    """Whether it runs `python -m module`; one that has just ended runs nothing."""
    with suppress(psutil.NoSuchProcess):
        return module in process.cmdline()
    return False

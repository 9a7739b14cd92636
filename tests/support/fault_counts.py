"""How often a fault is injected: a few times with all tests, in full with `make faults`."""

import os


def is_full() -> bool:
    """Whether the pass figures are wanted, not only status, reasons and invariants."""
    return os.environ.get("STEEPLE_FAULTS") == "full"


def count(reduced: int, full: int) -> int:
    """`full` with STEEPLE_FAULTS=full, else `reduced`."""
    return full if is_full() else reduced

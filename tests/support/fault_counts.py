"""How often a fault is injected: a few times with all tests, in full with `make faults`."""

import os


def is_full() -> bool:
    """Whether the pass figures are wanted, not only status, reasons and invariants."""
    return os.environ.get("STEEPLE_FAULTS") == "full"


def count(reduced: int, full: int) -> int:
    """`full` with STEEPLE_FAULTS=full, else `reduced`."""
    return full if is_full() else reduced


def limit_s(promised_s: float) -> float:
    """The seconds that are promised, where they are measured; else far more.

    Among all tests other work has the cores: what can be told there is that there is an end.
    """
    return promised_s if is_full() else promised_s + 15.0

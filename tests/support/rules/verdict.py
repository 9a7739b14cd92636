"""How a checker says no: which rule, what it asks for, what the step has."""


def expect(rule: str, *, holds: bool, got: object) -> None:
    """Refuse a step unless a rule holds.

    Raises:
        AssertionError: it does not; the message names the rule and what was found.
    """
    if not holds:
        raise AssertionError(f"{rule}: broken by {got!r}")


def expect_equal(rule: str, *, expected: object, got: object) -> None:
    """Refuse a step unless it has the one thing that a rule asks for.

    Raises:
        AssertionError: it has another; the message names the rule and both.
    """
    if expected != got:
        raise AssertionError(f"{rule}: expected {expected!r}, got {got!r}")


def expect_at_most(rule: str, *, limit: int, got: int) -> None:
    """Refuse a step that exceeds a limit.

    Raises:
        AssertionError: it does; the message names the rule and both numbers.
    """
    if got > limit:
        raise AssertionError(f"{rule}: at most {limit}, got {got}")

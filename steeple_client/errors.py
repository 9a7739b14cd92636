"""Every failure that a client raises.

`ServiceError` is the root; `reason` is stable and what programs branch on. `SettingRefused` is
raised where a client is made: a file that it was given cannot be used, and the message says why.
"""

from steeple_rpc.errors import (
    Aborted,
    AlreadyExists,
    Cancelled,
    DeadlineExpired,
    EngineFault,
    FailedPrecondition,
    InvalidRequest,
    NotFound,
    Overloaded,
    PermissionDenied,
    ServiceError,
    Unauthenticated,
    Unavailable,
    Unsupported,
)
from steeple_rpc.refused import SettingRefused

__all__ = [
    "Aborted",
    "AlreadyExists",
    "Cancelled",
    "DeadlineExpired",
    "EngineFault",
    "FailedPrecondition",
    "InvalidRequest",
    "NotFound",
    "Overloaded",
    "PermissionDenied",
    "ServiceError",
    "SettingRefused",
    "Unauthenticated",
    "Unavailable",
    "Unsupported",
]


def client_closed() -> Cancelled:
    """A call of a client that was closed, before it or meanwhile."""
    return Cancelled("the client is closed", reason="CLIENT_CLOSED")


def stream_cancelled() -> Cancelled:
    """The whole answer of a stream that was cancelled before its end."""
    return Cancelled("the stream was cancelled before its end", reason="STREAM_CANCELLED")


def not_ready(timeout_s: float, last: ServiceError | None) -> DeadlineExpired:
    """A gateway that did not serve in time.

    Args:
        timeout_s: what it had.
        last: why it could not even be asked; None where it could.
    """
    why = "" if last is None else f": {last.message}"
    return DeadlineExpired(f"not ready within {timeout_s:g} s{why}", reason="NOT_READY")

"""The one error tree. A raised ServiceError says everything that the caller may know.

ServiceError
├── InvalidRequest       the request is wrong, whatever the server's state
├── Unauthenticated      who are you?
├── PermissionDenied     I know you, and no
├── NotFound             no such model, adapter, request
├── AlreadyExists        the request id is in use
├── FailedPrecondition   this model cannot do that
├── Unsupported          nobody can do that here yet
├── Overloaded           full; try again later
├── Unavailable          starting, draining or lost; another replica may serve you now
├── DeadlineExpired      the caller's deadline passed
├── Cancelled            the caller went away
├── Aborted              somebody else ended the request
└── EngineFault          our fault

A message is written for the caller: what was wrong, the limit and the value's size; never a
prompt, a path or a Python name. `steeple_rpc.status` alone turns errors into gRPC statuses.
"""

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
    "Unauthenticated",
    "Unavailable",
    "Unsupported",
]


class ServiceError(Exception):
    """A failure that may be told to a caller. Raise one of its subclasses.

    Args:
        message: one sentence for the caller.
        reason: stable, UPPER_SNAKE; clients may branch on it.
        field: the request's field that is at fault, as a dotted path; empty if none is.
        retry_after_s: when trying again may help; None if unknown or never.
    """

    default_reason = "UNKNOWN"

    def __init__(
        self,
        message: str,
        *,
        reason: str | None = None,
        field: str = "",
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason or self.default_reason
        self.field = field
        self.retry_after_s = retry_after_s


class InvalidRequest(ServiceError):
    """The request is wrong, whatever the server's state."""

    default_reason = "INVALID_REQUEST"


class Unauthenticated(ServiceError):
    """The caller did not prove who it is."""

    default_reason = "UNAUTHENTICATED"


class PermissionDenied(ServiceError):
    """The caller is known and may not do this."""

    default_reason = "PERMISSION_DENIED"


class NotFound(ServiceError):
    """Something that the request names does not exist."""

    default_reason = "NOT_FOUND"


class AlreadyExists(ServiceError):
    """The request id is in use by a live request."""

    default_reason = "ALREADY_EXISTS"


class FailedPrecondition(ServiceError):
    """The named model cannot do what is asked."""

    default_reason = "MODEL_CANNOT"


class Unsupported(ServiceError):
    """What is asked is in the contract and not built yet."""

    default_reason = "NOT_IMPLEMENTED"


class Overloaded(ServiceError):
    """A bound is reached; later there may be room."""

    default_reason = "OVERLOADED"


class Unavailable(ServiceError):
    """Starting, draining or lost; another replica may serve the request now."""

    default_reason = "UNAVAILABLE"


class DeadlineExpired(ServiceError):
    """The caller's deadline passed before the work was done."""

    default_reason = "DEADLINE_EXCEEDED"


class Cancelled(ServiceError):
    """The caller went away."""

    default_reason = "CANCELLED"


class Aborted(ServiceError):
    """Somebody other than the caller ended the request."""

    default_reason = "ABORTED"


class EngineFault(ServiceError):
    """A fault of ours; the log has the story."""

    default_reason = "INTERNAL"

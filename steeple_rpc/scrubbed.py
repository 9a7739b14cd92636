"""What a caller is told of a failure: our own errors as they are, of all others only a number."""

import secrets

from steeple_rpc.errors import EngineFault, ServiceError
from steeple_rpc.telemetry import logger


def scrubbed(error: BaseException, method: str) -> ServiceError:
    """The error to tell; one that is not ours goes to the log, under the number that is told.

    Args:
        error: what a handler raised.
        method: full name of what it handles.
    """
    if isinstance(error, ServiceError):
        return error
    fault = secrets.token_hex(4)
    logger().error("handler_failed", method=method, fault=fault, exc_info=error)
    return EngineFault(f"internal error {fault}; the server's log has the story")

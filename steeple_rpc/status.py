"""The only table between our errors and gRPC statuses, read in both directions."""

from typing import Protocol

import grpc
from google.protobuf import any_pb2
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from steeple_rpc import errors

DOMAIN = "steeple"
DETAILS_KEY = "grpc-status-details-bin"

_CODES: dict[type[errors.ServiceError], grpc.StatusCode] = {
    errors.InvalidRequest: grpc.StatusCode.INVALID_ARGUMENT,
    errors.Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    errors.PermissionDenied: grpc.StatusCode.PERMISSION_DENIED,
    errors.NotFound: grpc.StatusCode.NOT_FOUND,
    errors.AlreadyExists: grpc.StatusCode.ALREADY_EXISTS,
    errors.FailedPrecondition: grpc.StatusCode.FAILED_PRECONDITION,
    errors.Unsupported: grpc.StatusCode.UNIMPLEMENTED,
    errors.Overloaded: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.Unavailable: grpc.StatusCode.UNAVAILABLE,
    errors.DeadlineExpired: grpc.StatusCode.DEADLINE_EXCEEDED,
    errors.Cancelled: grpc.StatusCode.CANCELLED,
    errors.Aborted: grpc.StatusCode.ABORTED,
    errors.EngineFault: grpc.StatusCode.INTERNAL,
}
CODES = frozenset(_CODES.values()) | {grpc.StatusCode.OK}
"""All that our RPCs end with."""
_ERRORS = {code: error for error, code in _CODES.items()}
# What grpc itself says, in any of its ways, where the caller's time is over.
_TIME_IS_OVER = "Deadline Exceeded"
_BY_NUMBER = {code.value[0]: code for code in grpc.StatusCode}


class FailedCall(Protocol):
    """The parts of a failed call that tell why: grpc.RpcError and grpc.aio.AioRpcError."""

    def code(self) -> grpc.StatusCode:
        """The status code."""

    def details(self) -> str | None:
        """The status message."""

    def trailing_metadata(self) -> object:
        """Key-value pairs, among them the rich details."""


def code_of(error: errors.ServiceError) -> grpc.StatusCode:
    """The status code that `error` travels as; INTERNAL for a class without a row."""
    return _CODES.get(type(error), grpc.StatusCode.INTERNAL)


def to_proto(error: errors.ServiceError) -> status_pb2.Status:
    """`error` as google.rpc.Status with ErrorInfo, and BadRequest and RetryInfo where they fit."""
    details = [error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN)]
    if error.field:
        violation = error_details_pb2.BadRequest.FieldViolation(
            field=error.field, description=error.message
        )
        details.append(error_details_pb2.BadRequest(field_violations=[violation]))
    if error.retry_after_s is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromNanoseconds(int(error.retry_after_s * 1e9))
        details.append(retry)
    packed = [any_pb2.Any() for _ in details]
    for target, detail in zip(packed, details, strict=True):
        target.Pack(detail)
    return status_pb2.Status(code=code_of(error).value[0], message=error.message, details=packed)


def from_proto(status: status_pb2.Status) -> errors.ServiceError:
    """The error that `status` was made from; what is unknown becomes EngineFault."""
    code = _BY_NUMBER.get(status.code, grpc.StatusCode.INTERNAL)
    info = error_details_pb2.ErrorInfo()
    bad = error_details_pb2.BadRequest()
    retry = error_details_pb2.RetryInfo()
    for detail in status.details:
        for known in (info, bad, retry):
            detail.Unpack(known)
    return _ERRORS.get(code, errors.EngineFault)(
        status.message,
        reason=info.reason or code.name,
        field=bad.field_violations[0].field if bad.field_violations else "",
        retry_after_s=retry.retry_delay.ToNanoseconds() / 1e9 if retry.ByteSize() else None,
    )


def from_call(call: FailedCall) -> errors.ServiceError:
    """The error that a failed call ended with, rich details included where it has them."""
    metadata = call.trailing_metadata()
    pairs = dict(metadata) if metadata else {}  # type: ignore[call-overload] # grpc's Metadata type has no common base
    try:
        return from_proto(status_pb2.Status.FromString(pairs[DETAILS_KEY]))
    except (KeyError, DecodeError):
        # grpc itself, a proxy or a server that is not ours.
        message = call.details() or ""
        if _TIME_IS_OVER in message:
            message = "the call took longer than its caller waits"
        return from_proto(status_pb2.Status(code=call.code().value[0], message=message))

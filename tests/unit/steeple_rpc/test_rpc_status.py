"""Errors travel and come back: the one table between them and gRPC statuses."""

import grpc
import pytest
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2

from steeple_rpc import errors, status
from steeple_rpc.errors import (
    DeadlineExpired,
    EngineFault,
    InvalidRequest,
    Overloaded,
    ServiceError,
    Unavailable,
)

ALL = [getattr(errors, name) for name in errors.__all__ if name != "ServiceError"]
CODE = grpc.StatusCode


def call_of(error: ServiceError) -> grpc.aio.AioRpcError:
    """The call that a server's answer with `error` ends as."""
    packed = status.to_proto(error).SerializeToString()
    return failed(status.code_of(error), error.message, (status.DETAILS_KEY, packed))


def failed(code: CODE, message: str, *trailing: tuple[str, str | bytes]) -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(
        code=code,
        initial_metadata=grpc.aio.Metadata(),
        trailing_metadata=grpc.aio.Metadata(*trailing),
        details=message,
    )


def test_every_error_has_a_status_of_its_own() -> None:
    """Total, and nothing is lost: no two classes share a code, no class is left out."""
    leaves = [c for c in vars(errors).values() if isinstance(c, type) and c is not ServiceError]
    assert set(ALL) == set(leaves)
    codes = [status.code_of(error("m")) for error in ALL]
    assert len(set(codes)) == len(ALL)
    assert CODE.UNKNOWN not in codes


@pytest.mark.parametrize("kind", ALL)
def test_an_error_survives_the_wire(kind: type[ServiceError]) -> None:
    sent = kind("what was wrong", reason="SOME_REASON", field="sampling.seed", retry_after_s=0.25)
    received = status.from_call(call_of(sent))
    assert type(received) is kind
    assert vars(received) == vars(sent)


@pytest.mark.parametrize("kind", ALL)
def test_what_an_error_does_not_say_stays_unsaid(kind: type[ServiceError]) -> None:
    received = status.from_call(call_of(kind("m")))
    assert type(received) is kind
    assert vars(received) == vars(kind("m"))
    assert received.reason == kind.default_reason


def test_an_error_without_a_row_travels_as_our_fault() -> None:
    class Unlisted(ServiceError):
        """Not in the table."""

    assert status.code_of(Unlisted("m")) is CODE.INTERNAL
    assert isinstance(status.from_call(call_of(Unlisted("m"))), EngineFault)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (CODE.UNAVAILABLE, Unavailable),
        (CODE.INVALID_ARGUMENT, InvalidRequest),
        (CODE.RESOURCE_EXHAUSTED, Overloaded),
        (CODE.UNKNOWN, EngineFault),
        (CODE.DATA_LOSS, EngineFault),
    ],
)
def test_a_plain_status_becomes_the_error_of_its_code(code: CODE, kind: type[ServiceError]) -> None:
    """From grpc itself, or a proxy: no rich details, and the code's name as the reason."""
    received = status.from_call(failed(code, "told by somebody"))
    assert type(received) is kind
    assert (received.message, received.reason) == ("told by somebody", code.name)
    assert (received.field, received.retry_after_s) == ("", None)


@pytest.mark.parametrize(
    "said", ["Deadline Exceeded", "Stream removed (Deadline Exceeded)", "CANCELLED: whatever"]
)
def test_time_that_is_over_is_told_in_words_for_the_caller(said: str) -> None:
    """The library has several of its own for it; what somebody else says stays as it is."""
    received = status.from_call(failed(CODE.DEADLINE_EXCEEDED, said))
    assert isinstance(received, DeadlineExpired)
    ours = "the call took longer than its caller waits"
    assert received.message == (ours if "Deadline" in said else said)


def test_details_that_cannot_be_read_are_left_out() -> None:
    """Some other server's trailer must not hide the status that came with it."""
    call = failed(CODE.UNAVAILABLE, "gone", (status.DETAILS_KEY, b"\xff\xff"))
    received = status.from_call(call)
    assert isinstance(received, Unavailable)
    assert received.message == "gone"


def test_details_of_other_kinds_are_skipped() -> None:
    packed = any_pb2.Any()
    packed.Pack(error_details_pb2.DebugInfo(detail="x"))
    received = status.from_proto(status_pb2.Status(code=5, message="m", details=[packed]))
    assert isinstance(received, errors.NotFound)
    assert received.reason == "NOT_FOUND"


def test_an_unheard_of_code_is_our_fault() -> None:
    assert isinstance(status.from_proto(status_pb2.Status(code=77, message="m")), EngineFault)


def test_a_retry_at_once_is_told_apart_from_none() -> None:
    sent = Overloaded("m", retry_after_s=0.0)
    assert status.from_call(call_of(sent)).retry_after_s == 0.0

"""One call as logs, metrics and traces see it, from its begin to its end.

Mostly that is an RPC. Requests that share one long stream are calls of their own, too: whoever
looks at a server shall find them wherever they travel.
"""

import secrets
import time
from collections.abc import Sequence
from contextvars import copy_context

import grpc

from steeple_rpc import status
from steeple_rpc.context import REQUEST_ID_KEY, RpcLine
from steeple_rpc.errors import ServiceError
from steeple_rpc.observing import Metadata, RpcObserver
from steeple_rpc.telemetry import logger
from steeple_rpc.tracing import RpcTrace, current_trace

# Asked again and again by machines: told at debug level.
QUIET_METHODS = (
    "/grpc.health.v1.",
    "/grpc.reflection.",
    "/steeple.engine.v1.EngineService/GetLoad",
)
MAX_REQUEST_ID = 128


class SeenCall:
    """Begins now, in the task that handles it; `end` must be called once.

    Args:
        method: full name.
        metadata: the caller's.
        observers: told of it.
    """

    def __init__(self, method: str, metadata: Metadata, observers: Sequence[RpcObserver]) -> None:
        self.request_id = request_id_of(metadata)
        self.line = RpcLine()
        self._method = method
        self._start = time.monotonic()
        self._ends = [observer.begin(method, metadata) for observer in observers]

    def end(
        self, error: ServiceError | None = None, *, code: grpc.StatusCode | None = None
    ) -> None:
        """It has ended.

        Args:
            error: what its caller is told; None = nothing.
            code: where there is no such error, but it did not end well.
        """
        code = code or (grpc.StatusCode.OK if error is None else status.code_of(error))
        facts = {} if error is None else {"reason": error.reason, "field": error.field}
        for end in self._ends:
            end(code, facts.get("reason") or "")
        took = round((time.monotonic() - self._start) * 1e3, 1)
        told = {key: value for key, value in facts.items() if value}
        write = logger().debug if self._method.startswith(QUIET_METHODS) else logger().info
        ours = {
            "method": self._method,
            "request_id": self.request_id,
            "code": code.name,
            "took_ms": took,
            **told,
        }
        write(self.line.event, **{**self.line.facts, **ours})

    def leave(self) -> None:
        """It has ended because its caller is gone."""
        self.end(code=grpc.StatusCode.CANCELLED)


def seen_part(
    method: str, metadata: Metadata, observers: Sequence[RpcObserver]
) -> tuple[SeenCall, RpcTrace]:
    """A call that is a part of the one which the running task handles, and its own trace."""
    context = copy_context()
    call = context.run(SeenCall, method, metadata, observers)
    return call, context.run(current_trace)


def request_id_of(metadata: Metadata) -> str:
    """The caller's x-request-id, else one made here."""
    given = str(next((value for key, value in metadata if key == REQUEST_ID_KEY), ""))
    usable = given.isprintable() and given != ""
    return given[:MAX_REQUEST_ID] if usable else secrets.token_hex(8)

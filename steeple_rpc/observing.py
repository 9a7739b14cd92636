"""The seam through which metrics and traces learn of RPCs; the border knows no more of them."""

from collections.abc import Iterable
from typing import Protocol, TypeAlias

import grpc

UNKNOWN_METHOD = "unknown"
"""Stands for every method that is not served: callers make up their names."""

Metadata: TypeAlias = Iterable[tuple[str, str | bytes]]


class RpcEnd(Protocol):
    """Called once, when the RPC has ended."""

    def __call__(self, code: grpc.StatusCode, reason: str) -> None:
        """Take note; `reason` is the error's, empty where there is none."""


class RpcObserver(Protocol):
    """Told of every RPC at the border, in the task that handles it."""

    def begin(self, method: str, metadata: Metadata) -> RpcEnd:
        """An RPC begins; the answer is told its end.

        Args:
            method: full name of a method that is served, or UNKNOWN_METHOD.
            metadata: the caller's.
        """

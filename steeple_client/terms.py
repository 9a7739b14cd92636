"""What both clients are made with: where the gateway is, who calls, how long and how often."""

from dataclasses import dataclass, field

from steeple_client.calls import WATCH_TIMEOUT_S, Call
from steeple_client.credentials import Credentials
from steeple_client.retries import Attempts, Retries
from steeple_rpc.address import host_of
from steeple_rpc.errors import InvalidRequest
from steeple_rpc.tls.channel_tls import ChannelTls

DEFAULT_TARGET = "127.0.0.1:50051"
DEFAULT_RETRIES = Retries()
READY_PAUSE_S = 0.1
"""Before a gateway that is away is asked again."""
LB_POLICY = "round_robin"
"""Calls go to all addresses behind a name in turn, not to the first that answers."""


_SCHEMES = frozenset({"dns", "ipv4", "ipv6", "passthrough", "unix", "unix-abstract", "xds"})


def check_target(target: str) -> None:
    """Refuse what the library would look up as a strange host, or on a port of its own choice.

    Raises:
        InvalidRequest: it is no HOST:PORT, and of no scheme of the library's.
    """
    if target.partition(":")[0] in _SCHEMES:
        return
    if "/" in target:
        raise InvalidRequest(
            f"target {target!r} must be HOST:PORT, without a scheme or a path", reason="BAD_TARGET"
        )
    host_of(target)


def check_timeout(timeout_s: float) -> None:
    """Refuse a time in which nothing can be.

    Raises:
        InvalidRequest: it is no number above 0; infinity is one.
    """
    if not timeout_s > 0:
        raise InvalidRequest(
            f"timeout_s must be above 0; it is {timeout_s:g}",
            reason="OUT_OF_RANGE",
            field="timeout_s",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """A client's own, for every call that says nothing else."""

    target: str
    tls: ChannelTls | None
    credentials: Credentials = field(repr=False)
    retries: Retries
    timeout_s: float | None

    def __post_init__(self) -> None:
        check_target(self.target)
        if self.timeout_s is not None:
            check_timeout(self.timeout_s)

    def attempts(self, call: Call[object], now_s: float) -> Attempts:
        """The attempts of a call that begins now.

        Raises:
            InvalidRequest: its time is none.
        """
        timeout_s = self.timeout_s if call.timeout_s is None else call.timeout_s
        if timeout_s is None:
            return Attempts(self.retries, call.repeatable, ends_at_s=None)
        check_timeout(timeout_s)
        # The library takes what it cannot count, as infinity, for the past.
        ends_at_s = now_s + min(timeout_s, WATCH_TIMEOUT_S)
        return Attempts(self.retries, call.repeatable, ends_at_s=ends_at_s)

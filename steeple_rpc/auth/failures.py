"""How many failed authentications of one peer are answered and logged in full. Pure."""

import ipaddress
from collections import OrderedDict
from collections.abc import Callable
from urllib.parse import unquote

BURST = 20
PER_S = 1.0
MAX_PEERS = 4096
_IPV6_SITE_BITS = 64


class FailureLimit:
    """A bucket of failures per peer: `burst` at once, `per_s` come back.

    Full buckets are forgotten as others come, the one longest unused first: the table is bounded.

    Args:
        clock: monotonic seconds.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        burst: int = BURST,
        per_s: float = PER_S,
        max_peers: int = MAX_PEERS,
    ) -> None:
        self._clock = clock
        self._burst = burst
        self._per_s = per_s
        self._max_peers = max_peers
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_s(self, peer: str) -> float:
        """Count a failure of `peer`; seconds until it may fail again, 0 if it still may."""
        now = self._clock()
        left, since = self._buckets.pop(peer, (float(self._burst), now))
        left = min(self._burst, left + (now - since) * self._per_s)
        allowed = left >= 1
        self._buckets[peer] = (left - 1 if allowed else left, now)
        if len(self._buckets) > self._max_peers:
            self._buckets.popitem(last=False)
        return 0.0 if allowed else (1 - left) / self._per_s


def peer_site(peer: str) -> str:
    """The part of grpc's peer name that one caller cannot change at will.

    The address without the port; of an IPv6 address the /64; a Unix socket is one peer.
    """
    kind, _, rest = peer.partition(":")
    host = unquote(rest.rpartition(":")[0]).strip("[]").partition("%")[0]
    if kind == "ipv6":
        try:
            return str(ipaddress.ip_network((host, _IPV6_SITE_BITS), strict=False))
        except ValueError:
            return kind
    return host if kind == "ipv4" else kind

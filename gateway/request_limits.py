"""What the gateway gives to each request: time, patience with its reader, other engines."""

from dataclasses import dataclass, field

from gateway.takeover import TakeoverLimits
from steeple_rpc.outbox import MAX_WAIT_S


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestLimits:
    """Bounds of one request."""

    max_request_s: float
    """The longest that it may take."""
    slow_client_s: float = MAX_WAIT_S
    """So long what is for its caller may wait to be read."""
    takeover: TakeoverLimits = field(default_factory=TakeoverLimits)
    """How far to go when its engine is lost."""

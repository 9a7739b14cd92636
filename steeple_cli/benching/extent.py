"""How much of a load is sent: first what only warms up, then what is measured."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice

from steeple_cli.load.figures import Window, whole_of
from steeple_cli.load.history import LoadRequest
from steeple_cli.load.sample import Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """One of the two bounds is set."""

    num_requests: int | None
    """To be measured; the window closes with the last end."""
    duration_s: float | None
    """Of the window; what was sent within it is waited for."""
    num_warm_up: int | None
    """Requests before the measured ones; None = as the shape of the load thinks best."""

    def window_of(self, samples: list[Sample]) -> Window:
        """The window over which rates are; one sample at least was measured."""
        whole = whole_of(samples)
        if self.duration_s is None:
            return whole
        return Window(start_s=whole.start_s, end_s=whole.start_s + self.duration_s)


def warming_up(requests: Iterable[LoadRequest], number: int) -> Iterator[LoadRequest]:
    """So many of the requests, marked as such."""
    return (replace(request, is_warm_up=True) for request in islice(requests, number))

"""The order in which requests wait."""

from collections import OrderedDict
from collections.abc import Iterator

from engine_svc.core.params import RequestId
from engine_svc.core.request import Request


class FcfsQueue:
    """First come, first served; any request can leave from anywhere at once."""

    def __init__(self) -> None:
        self._requests: OrderedDict[RequestId, Request] = OrderedDict()
        self._num_tokens = 0

    def __len__(self) -> int:
        return len(self._requests)

    def __iter__(self) -> Iterator[Request]:
        return iter(self._requests.values())

    @property
    def num_tokens(self) -> int:
        """Tokens to compute before all that wait have their first token."""
        return self._num_tokens

    def push(self, request: Request) -> None:
        """Add at the end."""
        self._requests[request.request_id] = request
        self._num_tokens += len(request.token_ids)

    def peek(self) -> Request | None:
        """Whose turn it is."""
        return next(iter(self._requests.values()), None)

    def remove(self, request: Request) -> None:
        """Take a request out, wherever it stands."""
        del self._requests[request.request_id]
        self._num_tokens -= len(request.token_ids)

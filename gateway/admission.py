"""Who may come in. Pure: counts, and refuses in constant time; nobody waits here."""

from collections.abc import Iterator
from contextlib import contextmanager

from steeple_rpc.errors import AlreadyExists, Overloaded

RETRY_AFTER_S = 1.0


class Admission:
    """The live requests of this gateway, by model and by id."""

    def __init__(self) -> None:
        self._num_live: dict[str, int] = {}
        self._ids: set[str] = set()

    def num_live(self, model: str) -> int:
        """Requests of a model that hold a permit."""
        return self._num_live.get(model, 0)

    @contextmanager
    def permit(self, model: str, request_id: str, limit: int) -> Iterator[None]:
        """Hold one of `limit` places of `model` while in the block.

        Raises:
            Overloaded: all places are taken.
            AlreadyExists: a live request has this id.
        """
        live = self.num_live(model)
        if live >= limit:
            raise Overloaded(
                f"{live} requests of this model are live; the limit is {limit}",
                reason="QUEUE_FULL",
                retry_after_s=RETRY_AFTER_S,
            )
        if request_id in self._ids:
            raise AlreadyExists(
                "a live request has this id", reason="REQUEST_EXISTS", field="request_id"
            )
        self._num_live[model] = live + 1
        self._ids.add(request_id)
        try:
            yield
        finally:
            self._num_live[model] -= 1
            self._ids.remove(request_id)

"""Who may come in. Pure: counts, and refuses in constant time; nobody waits here."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from steeple_rpc.errors import AlreadyExists, Overloaded
from steeple_rpc.principal import ANONYMOUS, Principal

RETRY_AFTER_S = 1.0
Key = TypeVar("Key")


class Admission:
    """The live requests of this gateway, by model, by principal and by id.

    Args:
        max_share: the part of a model's places, above 0 to 1, that a principal may hold unless
            its own share says otherwise; at least one place.
    """

    def __init__(self, *, max_share: float = 1.0) -> None:
        self._max_share = max_share
        self._num_live: Counter[str] = Counter()
        self._num_held: Counter[tuple[str, str]] = Counter()
        self._ids: set[tuple[str, str]] = set()

    def num_live(self, model: str) -> int:
        """Requests of a model that hold a permit."""
        return self._num_live[model]

    @contextmanager
    def permit(
        self, model: str, request_id: str, limit: int, principal: Principal = ANONYMOUS
    ) -> Iterator[None]:
        """Hold one of `limit` places of `model` while in the block.

        Raises:
            Overloaded: all places are taken, or all that one principal may hold.
            AlreadyExists: a live request of this principal has this id.
        """
        held, owned = (principal.name, model), (principal.name, request_id)
        self._check_share(held, limit, principal.max_share or self._max_share)
        self._check_room(model, limit)
        if owned in self._ids:
            raise AlreadyExists(
                "a live request has this id", reason="REQUEST_EXISTS", field="request_id"
            )
        self._num_live[model] += 1
        self._num_held[held] += 1
        self._ids.add(owned)
        try:
            yield
        finally:
            count_down(self._num_live, model)
            count_down(self._num_held, held)
            self._ids.remove(owned)

    def _check_share(self, held: tuple[str, str], limit: int, share: float) -> None:
        allowed = max(1, int(share * limit))
        # Where the share is everything, being full is not the principal's own fault.
        if self._num_held[held] >= allowed and allowed < limit:
            raise Overloaded(
                f"{self._num_held[held]} of your requests are live; your share of this model's"
                f" {limit} places is {allowed}",
                reason="PRINCIPAL_QUOTA",
                retry_after_s=RETRY_AFTER_S,
            )

    def _check_room(self, model: str, limit: int) -> None:
        live = self._num_live[model]
        if live >= limit:
            raise Overloaded(
                f"{live} requests of this model are live; the limit is {limit}",
                reason="QUEUE_FULL",
                retry_after_s=RETRY_AFTER_S,
            )


def count_down(counts: Counter[Key], key: Key) -> None:
    """One less; what is at zero is forgotten, so that names do not gather."""
    counts[key] -= 1
    if not counts[key]:
        del counts[key]

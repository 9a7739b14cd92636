"""The load as it is told, across losses of the gateway."""

from collections.abc import Iterator

from steeple_client import Client, Load
from steeple_rpc.errors import DeadlineExpired, ServiceError, Unavailable

_PATIENCE_S = 2.0


def tellings(client: Client, interval_s: float) -> Iterator[Load | ServiceError]:
    """Every telling; where the gateway goes away, why, until it is back.

    Raises:
        ServiceError: nothing was ever told, or the caller may not know any more.
    """
    was_told = False
    while True:
        try:
            for load in client.watch_load(interval_s):
                was_told = True
                yield load
        except (Unavailable, DeadlineExpired) as error:
            if not was_told:
                raise
            yield error
            yield from _until_ready(client, error)


def _until_ready(client: Client, error: ServiceError) -> Iterator[ServiceError]:
    while True:
        try:
            return client.wait_until_ready(_PATIENCE_S)
        except DeadlineExpired:
            yield error

"""The ways in which a program leaves a stream of the blocking client.

Each reads at least one event, and returns what it keeps alive.
"""

import gc
from collections.abc import Callable

import pytest

from steeple_client import Client

Leave = Callable[[Client], object]


def fails() -> None:
    raise KeyError


def breaks_out(client: Client) -> None:
    for _ in client.generate_stream("x"):
        break


def breaks_out_of_the_texts(client: Client) -> None:
    for _ in client.generate_stream("x").texts():
        break


def raises_in_the_body(client: Client) -> object:
    """The traceback lives on."""

    def read() -> None:
        for _ in client.generate_stream("x"):
            fails()

    with pytest.raises(KeyError) as caught:
        read()
    return caught


def raises_in_a_with_block(client: Client) -> object:
    """The traceback lives on, and with it the stream."""

    def read() -> None:
        with client.generate_stream("x") as stream:
            next(stream)
            fails()

    with pytest.raises(KeyError) as caught:
        read()
    return caught


def cancels(client: Client) -> object:
    stream = client.generate_stream("x")
    next(stream)
    stream.cancel()
    stream.cancel()
    return stream


def closes(client: Client) -> object:
    stream = client.generate_stream("x")
    next(stream)
    stream.close()
    return stream


def is_collected_as_garbage(client: Client) -> None:
    stream = client.generate_stream("x")
    next(stream)
    cycle: list[object] = [stream]
    cycle.append(cycle)
    del stream, cycle
    gc.collect()


def closes_the_client(client: Client) -> object:
    stream = client.generate_stream("x")
    next(stream)
    client.close()
    return stream


def drops_it(client: Client) -> None:
    stream = client.generate_stream("x")
    next(stream)


WAYS: list[Leave] = [
    breaks_out,
    breaks_out_of_the_texts,
    raises_in_the_body,
    raises_in_a_with_block,
    cancels,
    closes,
    is_collected_as_garbage,
    closes_the_client,
    drops_it,
]

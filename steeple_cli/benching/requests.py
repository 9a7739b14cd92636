"""The requests of a load: prompts with the options that all of them share."""

from collections.abc import Iterator
from itertools import count

from steeple_cli.benching.prompts import Prompts
from steeple_cli.load.history import LoadRequest
from steeple_client import GenerateOptions


def requests_of(
    prompts: Prompts, options: GenerateOptions, *, salt: str, is_cache_used: bool
) -> Iterator[LoadRequest]:
    """Requests without end.

    Args:
        prompts: what they ask.
        options: of all.
        salt: of this run alone, so that nothing is found that an earlier run left in the cache.
        is_cache_used: they find each other's prefixes there; else each has a salt of its own.
    """
    for number in count():
        asked = prompts.take()
        own: GenerateOptions = {
            "max_tokens": asked.max_tokens,
            "cache_salt": salt if is_cache_used else f"{salt}-{number}",
        }
        yield LoadRequest(
            name=str(number), prompt=asked.prompt, options=GenerateOptions(**{**options, **own})
        )

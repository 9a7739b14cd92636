"""How much fits at once."""

import pytest

from steeple_cli.showing.concurrency import concurrency_text


@pytest.mark.parametrize(
    ("max_concurrency", "told"),
    [
        (1.0, "at most 1 request of 1,024 tokens at once"),
        (1.04, "at most 1 request of 1,024 tokens at once"),
        (1.5, "at most 1.5 requests of 1,024 tokens at once"),
        (32.0, "at most 32 requests of 1,024 tokens at once"),
    ],
)
def test_one_is_told_as_one(max_concurrency: float, told: str) -> None:
    assert concurrency_text(max_concurrency, 1024) == told

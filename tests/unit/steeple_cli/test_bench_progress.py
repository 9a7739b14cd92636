"""What a person sees while a load runs; nobody else sees anything."""

import asyncio
import io

from rich.console import Console

from steeple_cli.benching.extent import Extent
from steeple_cli.benching.progress import shown
from steeple_cli.load.history import End, LoadRequest
from tests.support.samples import sample

EXTENT = Extent(num_requests=4, duration_s=None, num_warm_up=None)
REQUEST = LoadRequest(name="r", prompt="p")


async def _load(console: Console) -> None:
    async with shown(console, "4 callers", EXTENT) as tally:
        for _ in range(4):
            tally.sent(REQUEST)
        tally.ended(sample(1.0, 2.0))
        tally.ended(sample(end=End.FAILED))
        await asyncio.sleep(0)  # it is drawn


async def test_a_terminal_shows_what_is_under_way_and_has_ended() -> None:
    out = io.StringIO()
    await _load(Console(file=out, force_terminal=True, width=120))
    assert "4 callers" in out.getvalue()
    assert "2 under way, 1 done, 2 tokens, 1 refused or failed" in out.getvalue()


async def test_where_there_is_no_terminal_nothing_is_shown() -> None:
    out = io.StringIO()
    await _load(Console(file=out, force_terminal=False))
    assert out.getvalue().strip() == ""

"""`steeple top` of a busy demo model: rich's own export, without the fonts that it would fetch."""

import asyncio
import io
import re
from itertools import count
from pathlib import Path

from rich.console import Console

from steeple_cli.load.history import LoadRequest
from steeple_cli.load.loops import closed_loop, while_time
from steeple_cli.watching.screen import screen
from steeple_client import AsyncClient, GenerateOptions, Load
from steeple_demo import model_dir
from tests.support.deployment import Deployment
from tests.support.traffic import callers

_ENGINE = ("--num-threads=1", "--max-num-seqs=16")
_NUM_CALLERS = 24
_WORDS = "one two three four five six seven eight nine ten eleven twelve"
_ANSWER = GenerateOptions(max_tokens=80, ignore_eos=True)
_LOOKED_AT_S, _LOAD_S = 12.0, 15.0
"""The load tells of the last ten seconds, so all of them were busy."""
_COLUMNS = 132
_FOREIGN = re.compile(r"\s*(?:@font-face \{[^}]*\}|<!--.*?-->)")
"""What would be fetched, and who made it."""


def draw(path: Path) -> None:
    """Write it as SVG; takes half a minute."""
    with Deployment(model_dir(), engine=_ENGINE) as deployment:
        load = asyncio.run(_busy_load(deployment.target))
        path.write_text(drawn(load, deployment.target), encoding="utf-8")


def drawn(load: Load, target: str) -> str:
    """One telling as SVG that loads nothing from anywhere."""
    console = Console(width=_COLUMNS, record=True, file=io.StringIO(), highlight=False)
    console.print(screen(load, target, console, None))
    exported = console.export_svg(title="steeple top", unique_id="top")
    return _FOREIGN.sub("", exported).replace("Fira Code, monospace", "monospace")


async def _busy_load(target: str) -> Load:
    """What is told while the callers ask."""
    clock = asyncio.get_running_loop().time
    requests = while_time(map(_request, count()), clock, clock() + _LOAD_S)
    async with callers(target, num_connections=2) as sending, AsyncClient(target) as client:
        load = asyncio.create_task(closed_loop(sending.send, requests, num_callers=_NUM_CALLERS))
        await asyncio.sleep(_LOOKED_AT_S)
        told = await client.load()
        await load
    return told


def _request(number: int) -> LoadRequest:
    """No two begin alike: nothing comes from the prefix cache."""
    return LoadRequest(name=f"top-{number}", prompt=f"{number} {_WORDS}", options=_ANSWER)

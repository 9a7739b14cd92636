"""`steeple top` against a scripted gateway: what it shows, wide, narrow, once and as lines."""

import asyncio
import io
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from steeple_cli.app import app
from steeple_cli.watching.bar import WIDTH, blocks_bar
from steeple_cli.watching.screen import screen
from steeple_cli.watching.tellings import tellings
from steeple_client import EngineWork, Load
from steeple_client.convert_load import to_load
from steeple_rpc.errors import DeadlineExpired, PermissionDenied, ServiceError, Unavailable
from tests.support.answers import load
from tests.support.scripted import ScriptedLoads
from tests.support.servers import Serving, serving


@pytest.fixture
def loads() -> ScriptedLoads:
    return ScriptedLoads([load()])


@pytest.fixture
async def served(loads: ScriptedLoads) -> AsyncIterator[Serving]:
    async with serving(loads.add_to) as served:
        yield served


async def told(served: Serving, *arguments: str, columns: int = 160) -> Result:
    argv = ["top", *arguments, f"--target={served.address}"]
    env = {"COLUMNS": str(columns)}
    return await asyncio.to_thread(CliRunner().invoke, app, argv, env=env)


def shown(message: Any, width: int = 160, trouble: ServiceError | None = None) -> str:
    console = Console(width=width, record=True, markup=False, highlight=False, file=io.StringIO())
    console.print(screen(to_load(message), "here", console, trouble))
    return console.export_text()


async def test_once_shows_models_and_engines_and_ends(served: Serving) -> None:
    result = await told(served, "--once")
    assert result.exit_code == 0
    rows = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert (
        f"steeple 0.1.0 at {served.address} up 90.0 s decoding 0 refused 0 takeovers 0" in (rows[0])
    )
    assert "demo 4/40 50 1,234 20/30/45 ms 20/30/45 ms - 7 1" in rows
    bar = "████▒▒▒▒········ 25%+25% of 100"
    assert f"0 demo fms cpu continuous 3 1 {bar} 50 150 25% 0" in rows
    assert "1 not ready - - - - - - - -" in rows


@pytest.mark.parametrize("width", [60, 80, 100, 160])
def test_nothing_is_cut_off_or_wider_than_the_terminal(width: int) -> None:
    text = shown(load(), width)
    assert max(map(len, text.splitlines())) <= width
    for fact in ("4/40", "1,234", "20/30/45 ms", "25%+25% of 100", "not ready", "continuous"):
        assert fact in text


def test_what_is_wrong_is_told() -> None:
    message = load(trouble="UPSTREAM_MISMATCH")
    message.gateway.tokenizer_ready = False
    text = shown(message)
    assert "UPSTREAM_MISMATCH" in text
    assert "the tokenizer service does not answer" in text
    message.ClearField("models")
    assert "no engine has become ready" in shown(message)


def test_an_old_picture_says_so() -> None:
    lost = Unavailable("the gateway is draining", reason="DRAINING")
    assert "what follows is old: DRAINING: the gateway is draining" in shown(load(), trouble=lost)


async def test_json_is_one_line_per_telling(served: Serving, loads: ScriptedLoads) -> None:
    loads.loads = [load(num_running=1), load(num_running=2)]
    loads.error = Unavailable("the gateway is draining", reason="DRAINING")
    result = await told(served, "--json", "--refresh=0.5")
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line["engines"][0]["work"]["num_running"] for line in lines] == [1, 2]
    assert loads.intervals_ms == [500]
    assert (result.exit_code, "DRAINING" in result.stderr) == (1, True)


async def test_json_once_is_one_line(served: Serving) -> None:
    result = await told(served, "--once", "--json")
    (line,) = result.stdout.splitlines()
    assert json.loads(line)["models"][0]["completion_tokens_per_s"] == 1234.5


async def test_who_may_not_know_is_told_in_one_line(served: Serving, loads: ScriptedLoads) -> None:
    loads.error = PermissionDenied("not for you", reason="NOT_ALLOWED")
    result = await told(served, "--once")
    assert (result.exit_code, result.stderr) == (
        1,
        "error: PERMISSION_DENIED NOT_ALLOWED: not for you\n",
    )


@pytest.mark.parametrize("refresh", ["0", "0.05", "61", "often"])
async def test_a_refresh_out_of_bounds_is_a_usage_error(served: Serving, refresh: str) -> None:
    assert (await told(served, f"--refresh={refresh}")).exit_code == 2


class Client:
    """Tells this, is lost, comes back at the second look, and tells again."""

    def __init__(self) -> None:
        self.looks = 0

    def watch_load(self, interval_s: float) -> Iterator[Load]:
        yield to_load(load())
        raise Unavailable("gone", reason="UNREACHABLE")

    def wait_until_ready(self, timeout_s: float) -> None:
        self.looks += 1
        if self.looks == 1:
            raise DeadlineExpired("not ready", reason="NOT_READY")


def test_a_gateway_that_goes_away_is_waited_for() -> None:
    """Why is told meanwhile: an old picture must not pass for a new one."""
    client: Any = Client()
    told = tellings(client, 1.0)
    kinds = [type(next(told)).__name__ for _ in range(4)]
    assert kinds == ["Load", "Unavailable", "Unavailable", "Load"]


class Away:
    """Is not there."""

    def watch_load(self, interval_s: float) -> Iterator[Load]:
        raise Unavailable("gone", reason="UNREACHABLE")


def test_a_gateway_that_was_never_there_is_an_error() -> None:
    client: Any = Away()
    with pytest.raises(Unavailable):
        next(tellings(client, 1.0))


@pytest.mark.parametrize(
    ("used", "cached", "total", "cells"),
    [
        (0, 0, 10, "·" * WIDTH),
        (10, 0, 10, "█" * WIDTH),
        (1, 1, 10_000, "█▒" + "·" * (WIDTH - 2)),
        (9999, 1, 10_000, "█" * WIDTH),
        (5, 5, 10, "█" * (WIDTH // 2) + "▒" * (WIDTH // 2)),
    ],
)
def test_a_bar_shows_whatever_there_is_and_is_never_too_long(
    used: int, cached: int, total: int, cells: str
) -> None:
    work = EngineWork(
        num_running=0,
        num_waiting=0,
        num_waiting_tokens=0,
        num_free_blocks=total - used - cached,
        num_used_blocks=used,
        num_cached_blocks=cached,
        num_total_blocks=total,
        block_size=16,
        is_draining=False,
        since_last_step_s=0.0,
        counted_s=0.0,
    )
    assert blocks_bar(work).plain.startswith(cells + " ")

"""Measures a plan against a gateway; what was measured before a Ctrl-C is kept."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass

from rich.console import Console

from steeple_cli.benching.plan import BenchPlan
from steeple_cli.benching.report import Point
from steeple_cli.benching.run import PointRun, run_points
from steeple_cli.benching.table import point_line
from steeple_cli.connecting.connection import Connection
from steeple_cli.load.caller import Callers
from steeple_client import AsyncClient, Model


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What answered, and how."""

    model: Model
    points: tuple[Point, ...]
    """Of whole loads, at least one."""
    last: PointRun
    """With its samples; those of earlier points are gone."""
    was_interrupted: bool
    """Loads were left out."""


async def measure(plan: BenchPlan, connection: Connection) -> Measurement:
    """Run the loads of a plan, and tell of each on stderr.

    Raises:
        ServiceError: nobody answers, or the model is not served.
        SettingRefused: the model has no room for the requests.
        CancelledError: before the first load had ended; from then on that ends the sweep.
    """
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(connection.open_to_measure())
            for _ in range(plan.asking.num_connections)
        ]
        model = await clients[0].model(plan.options.get("model", ""))
        return await _sweep(plan, clients, model)


async def _sweep(plan: BenchPlan, clients: list[AsyncClient], model: Model) -> Measurement:
    console = Console(stderr=True, highlight=False)
    points: list[Point] = []
    was_interrupted = False
    try:
        async for last in run_points(plan, Callers(clients), model, console):
            points.append(last.point)
            if len(plan.shapes) > 1:
                console.print(point_line(last.point), markup=False, soft_wrap=True)
    except asyncio.CancelledError:
        if not points:
            raise
        was_interrupted = True
    return Measurement(
        model=model, points=tuple(points), last=last, was_interrupted=was_interrupted
    )

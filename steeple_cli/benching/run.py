"""Runs the loads of a plan, one after the other."""

import secrets
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass

from rich.console import Console

from steeple_cli.benching.lag import watched
from steeple_cli.benching.plan import BenchPlan
from steeple_cli.benching.progress import shown
from steeple_cli.benching.report import Point
from steeple_cli.benching.shapes import Shape
from steeple_cli.load.caller import Callers
from steeple_cli.load.figures import Window, figures
from steeple_cli.load.history import LoadRequest
from steeple_cli.load.sample import Sample, sample_of
from steeple_client import Model


@dataclass(frozen=True, slots=True, kw_only=True)
class PointRun:
    """One load that has run, with all that it saw."""

    point: Point
    samples: list[Sample]
    window: Window


async def run_points(
    plan: BenchPlan, callers: Callers, model: Model, console: Console
) -> AsyncIterator[PointRun]:
    """Each shape of the plan; the next begins when the last request of the one before has ended.

    Raises:
        SettingRefused: the model has no room for the requests.
    """
    for shape in plan.shapes:
        # Not of the seed: what the same bench left in the cache a minute ago must not be found.
        requests = plan.requests(model, salt=secrets.token_hex(8))
        yield await _run(shape, plan, callers, requests, console)


async def _run(
    shape: Shape,
    plan: BenchPlan,
    callers: Callers,
    requests: Iterable[LoadRequest],
    console: Console,
) -> PointRun:
    label = f"{shape.level:g} {shape.unit}"
    async with shown(console, label, plan.extent) as tally, watched() as watch:

        async def send(request: LoadRequest) -> Sample:
            tally.sent(request)
            sample = sample_of(await callers.send(request))
            tally.ended(sample)
            return sample

        samples = await shape.run(send, iter(requests), plan.extent)
        generator = watch.seen()
    window = plan.extent.window_of(samples)
    point = Point(
        level=shape.level,
        unit=shape.unit,
        figures=figures(samples, bound=plan.bound, window=window),
        generator=generator,
    )
    return PointRun(point=point, samples=samples, window=window)

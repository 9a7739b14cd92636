"""Reports of benches made up for tests."""

from collections.abc import Sequence

from steeple_cli.benching.lag import Generator
from steeple_cli.benching.report import Asking, Measured, Point, Report
from steeple_cli.load.figures import LatencyBound, Window, figures
from steeple_cli.load.percentiles import Percentiles
from steeple_cli.load.sample import Sample
from tests.support.samples import sample

CALM = Generator(lag_s=Percentiles(p50=0.0, p90=0.001, p95=0.001, p99=0.002), busy_share=0.1)
ASKING = Asking(
    arrivals="closed",
    prompts="256",
    output_lens="64",
    num_shared=0,
    is_cache_used=False,
    ignore_eos=True,
    temperature=0.0,
    num_requests=None,
    duration_s=10.0,
    num_connections=1,
    seed=0,
)
DONE = sample(0.1, 0.2, 0.4)


def point(
    *samples: Sample,
    level: float = 4,
    unit: str = "callers",
    generator: Generator = CALM,
    bound: LatencyBound | None = None,
    window: Window | None = None,
) -> Point:
    """A load that saw these, or one request of three tokens."""
    return Point(
        level=level,
        unit=unit,
        figures=figures(samples or (DONE,), bound=bound, window=window),
        generator=generator,
    )


def report(
    points: Sequence[Point], *, asking: Asking = ASKING, bound: LatencyBound | None = None
) -> Report:
    """A bench of these loads."""
    return Report(
        made_at="2026-01-01T00:00:00+00:00",
        version="0",
        model=Measured(
            name="m", architecture="A", dtype="float32", max_model_len=1024, num_engines=1
        ),
        asking=asking,
        bound=bound,
        points=tuple(points),
    )

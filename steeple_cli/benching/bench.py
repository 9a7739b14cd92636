"""`steeple bench`: put a load on a gateway and measure what its callers see."""

import sys
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Self

import typer
import uvloop

from steeple_cli.benching import options as given
from steeple_cli.benching.chart import check_chart, draw_chart
from steeple_cli.benching.compare import compared
from steeple_cli.benching.given_bench import DEFAULT_OUTPUT_LENS, GivenBench
from steeple_cli.benching.measure import Measurement, measure
from steeple_cli.benching.plan import BenchPlan
from steeple_cli.benching.report import Measured, Point, Report, read_report, write_report
from steeple_cli.benching.run import PointRun
from steeple_cli.benching.table import as_text
from steeple_cli.connecting.connection import Connection, client_command, failures_told
from steeple_cli.conventions.exits import FAILED, INTERRUPTED
from steeple_cli.conventions.help import Command, Group
from steeple_cli.showing.writable import why_unwritable
from steeple_rpc.refused import SettingRefused

_HELP = "Put a load on a gateway; measure what its callers see."

bench = typer.Typer(cls=Group, invoke_without_command=True, add_completion=False, help=_HELP)


@bench.callback()
@client_command
def run(  # noqa: PLR0913 - one parameter per option of the command
    context: typer.Context,
    *,
    concurrency: given.Concurrency = None,
    rate: given.Rate = None,
    arrivals: given.Arrivals = None,
    duration: given.Duration = None,
    requests: given.Requests = None,
    warm_up: given.WarmUp = None,
    connections: given.Connections = 1,
    prompt_lens: given.PromptLens = None,
    output_lens: given.OutputLens = DEFAULT_OUTPUT_LENS,
    prompts: given.Prompts = None,
    shared_prefix: given.SharedPrefix = 0,
    prefix_cache: given.PrefixCache = False,
    ignore_eos: given.IgnoreEos = True,
    temperature: given.Temperature = 0.0,
    model: given.Model = None,
    timeout: given.Timeout = 300.0,
    seed: given.Seed = 0,
    ttft_bound: given.TtftBound = None,
    itl_bound: given.ItlBound = None,
    json: given.Json = None,
    chart: given.Chart = None,
    baseline: given.Baseline = None,
    connection: Connection,
) -> None:
    """Put a load on a gateway; measure what its callers see."""
    options = locals()  # all of the above, by name
    if context.invoked_subcommand is not None:
        return
    with failures_told():
        plan = GivenBench(**{each.name: options[each.name] for each in fields(GivenBench)}).plan()
        outputs = _Outputs.checked(json=json, chart=chart, baseline=baseline)
        measurement = uvloop.run(measure(plan, connection))
        outputs.tell(_report(plan, measurement), measurement.last)
    if measurement.was_interrupted:
        num_measured, num_wanted = len(measurement.points), len(plan.shapes)
        sys.stderr.write(f"interrupted: {num_measured} of {num_wanted} loads were measured\n")
        raise typer.Exit(INTERRUPTED)
    if not all(_is_good(point) for point in measurement.points):
        raise typer.Exit(FAILED)


@bench.command(cls=Command)
def compare(
    before: Annotated[Path, typer.Argument(help="an earlier --json file")],
    after: Annotated[Path, typer.Argument(help="a later one")],
) -> None:
    """Show two benches side by side, and the ratio of each figure."""
    with failures_told():
        sys.stdout.write(compared(read_report(before), read_report(after)))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Outputs:
    """Where the figures go."""

    json: Path | None
    chart: Path | None
    baseline: Report | None

    @classmethod
    def checked(cls, *, json: Path | None, chart: Path | None, baseline: Path | None) -> Self:
        """Found out before anything is measured for it.

        Raises:
            SettingRefused: a file cannot be written, drawn or read.
        """
        if json is not None and (hindrance := why_unwritable(json)) is not None:
            raise SettingRefused(f"--json {json} cannot be written: {hindrance}")
        if chart is not None:
            check_chart(chart)
        earlier = None if baseline is None else read_report(baseline)
        return cls(json=json, chart=chart, baseline=earlier)

    def tell(self, report: Report, last: PointRun) -> None:
        """The table on stdout, the rest where it was asked for."""
        sys.stdout.write(as_text(report))
        if self.baseline is not None:
            sys.stdout.write("\n" + compared(self.baseline, report))
        if self.json is not None:
            write_report(report, self.json)
        if self.chart is not None:
            draw_chart(self.chart, report, last)


def _report(plan: BenchPlan, measurement: Measurement) -> Report:
    model = measurement.model
    return Report(
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
        version=version("steeple"),
        model=Measured(
            name=model.name,
            architecture=model.architecture,
            dtype=model.dtype,
            max_model_len=model.max_model_len,
            num_engines=model.num_engines,
        ),
        asking=plan.asking,
        bound=plan.bound,
        points=measurement.points,
    )


def _is_good(point: Point) -> bool:
    """Something was done and nothing failed; who was refused was told to come again."""
    counts = point.figures.counts
    return counts.num_done > 0 and counts.num_failed == 0

"""Figures, tables and traces, checked by hand on what is small enough to add up."""

import pytest

from engine_svc.core.params import FinishReason, RequestId
from steeple_cli.load.percentiles import Percentiles, percentiles
from steeple_cli.planning.record import (
    Cause,
    Interval,
    Pause,
    Refusal,
    RequestRecord,
    Simulation,
    StepRecord,
)
from steeple_cli.planning.report import figures_of
from steeple_cli.planning.report_table import figures_table
from steeple_cli.planning.step_work import StepWork
from steeple_cli.planning.trace import TraceRow, trace_cells

NOTHING = Simulation(steps=(), requests=(), refusals=())


def prompt(
    start: float, end: float, *, tokens: int, positions: int, blocks: int, recomputed: int = 0
) -> StepRecord:
    work = StepWork(
        num_prompt_tokens=tokens,
        num_recomputed_tokens=recomputed,
        num_prompt_positions=positions,
        num_prompt_kv_positions=positions,
    )
    return StepRecord(interval=Interval(start, end), work=work, num_used_blocks=blocks)


def decode(start: float, end: float, *, rows: int, real: int, read: int, blocks: int) -> StepRecord:
    work = StepWork(
        num_decodes=rows,
        num_decode_rows=rows,
        num_decode_kv_tokens=real,
        num_decode_kv_positions=read,
    )
    return StepRecord(interval=Interval(start, end), work=work, num_used_blocks=blocks)


def record(
    name: str,
    *,
    arrival: float,
    start: float,
    tokens: tuple[float, ...],
    cached: int = 0,
    pauses: tuple[Pause, ...] = (),
) -> RequestRecord:
    return RequestRecord(
        request_id=RequestId(name),
        prompt_len=100,
        arrival_s=arrival,
        start_s=start,
        token_times_s=tokens,
        num_cached_tokens=cached,
        finish_reason=FinishReason.MAX_TOKENS,
        pauses=pauses,
    )


# Idle from 6 to 7. A decodes with 3 and 5, is left out once for B's prompt, once by the limit.
TINY = Simulation(
    steps=(
        prompt(1.0, 2.0, tokens=100, positions=128, blocks=2),
        decode(2.0, 3.0, rows=1, real=101, read=102, blocks=3),
        prompt(3.0, 4.0, tokens=92, positions=128, blocks=5, recomputed=12),
        decode(4.0, 5.0, rows=1, real=101, read=130, blocks=5),
        decode(5.0, 6.0, rows=2, real=204, read=260, blocks=4),
        prompt(7.0, 8.0, tokens=100, positions=128, blocks=2),
    ),
    requests=(
        record(
            "A",
            arrival=1.0,
            start=1.0,
            tokens=(2.0, 3.0, 6.0),
            pauses=(
                Pause(Interval(3.0, 4.0), Cause.PROMPT),
                Pause(Interval(4.0, 5.0), Cause.LIMIT),
            ),
        ),
        record("B", arrival=1.0, start=3.0, tokens=(4.0, 5.0, 6.0), cached=20),
        record("C", arrival=7.0, start=7.0, tokens=(8.0,)),
    ),
    refusals=(Refusal(request_id=RequestId("D"), reason="too long"),),
)


def test_rates_and_shares_are_of_the_span() -> None:
    """Seven seconds from the first arrival to the last token, six of them busy."""
    figures = figures_of(TINY, num_blocks=8)
    assert (figures.counts.num_finished, figures.counts.num_refused) == (3, 1)
    assert (figures.counts.num_steps, figures.counts.num_prompt_steps) == (6, 3)
    assert figures.counts.span_s == 7.0
    assert figures.rates.requests_per_s == pytest.approx(3 / 7)
    assert figures.rates.prompt_tokens_per_s == pytest.approx(300 / 7)
    assert figures.rates.output_tokens_per_s == pytest.approx(7 / 7)
    assert figures.use.busy_share == pytest.approx(6 / 7)
    assert figures.use.mean_seats == pytest.approx((5 + 3 + 1) / 7)
    assert figures.use.mean_decodes == pytest.approx((1 + 1 + 2) / 3)
    assert (figures.use.peak_blocks, figures.use.num_blocks) == (5, 8)


def test_latencies_are_seen_by_the_caller() -> None:
    figures = figures_of(TINY, num_blocks=8)
    assert figures.latencies.queue_s == Percentiles(p50=0.0, p90=2.0, p95=2.0, p99=2.0)
    assert figures.latencies.ttft_s == Percentiles(p50=1.0, p90=3.0, p95=3.0, p99=3.0)
    assert figures.latencies.itl_s == Percentiles(p50=1.0, p90=3.0, p95=3.0, p99=3.0)
    assert figures.latencies.total_s == Percentiles(p50=5.0, p90=5.0, p95=5.0, p99=5.0)


def test_padding_is_what_is_computed_and_holds_no_token() -> None:
    figures = figures_of(TINY, num_blocks=8)
    assert figures.waste.prompt_padding == pytest.approx(1 - 292 / 384)
    assert figures.waste.decode_padding == pytest.approx(1 - 406 / 492)
    assert figures.waste.num_recomputed_tokens == 12
    assert figures.spared.num_cached_tokens == 20
    assert figures.spared.cached_share == pytest.approx(20 / 300)


def test_pauses_are_told_by_cause_and_as_a_share_of_decoding() -> None:
    """A decodes for 4 s, B for 2 s, C not at all."""
    figures = figures_of(TINY, num_blocks=8)
    assert figures.pauses.limit_s == 1.0
    assert figures.pauses.limit_share == pytest.approx(1 / 6)
    assert figures.pauses.prompt_s == 1.0
    assert figures.pauses.prompt_share == pytest.approx(1 / 6)


def test_where_nothing_was_done_there_is_no_share() -> None:
    figures = figures_of(NOTHING, num_blocks=8)
    assert figures.counts.span_s == 0.0
    assert figures.use.busy_share is None
    assert figures.latencies.ttft_s is None
    assert figures.waste.prompt_padding is None
    assert figures.use.peak_blocks == 0


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([3.0], (3.0, 3.0, 3.0, 3.0)),
        ([2.0, 1.0], (1.0, 2.0, 2.0, 2.0)),
        (list(map(float, range(1, 101))), (50.0, 90.0, 95.0, 99.0)),
        (list(map(float, range(1, 12))), (6.0, 10.0, 11.0, 11.0)),
    ],
)
def test_percentiles_are_values_that_occurred(
    values: list[float], expected: tuple[float, float, float, float]
) -> None:
    found = percentiles(values)
    assert found is not None
    assert (found.p50, found.p90, found.p95, found.p99) == expected


def test_the_table_has_a_column_per_policy_and_dashes_for_nothing() -> None:
    table = figures_table(
        {"one": figures_of(TINY, num_blocks=8), "two": figures_of(NOTHING, num_blocks=8)}
    )
    lines = {line[:28].strip(): line[28:].split() for line in table.splitlines()}
    assert lines[""] == ["one", "two"]
    assert lines["requests finished"] == ["3", "0"]
    assert lines["TTFT, p90 s"] == ["3.000", "-"]
    assert lines["busy"] == ["85.7%", "-"]
    assert lines["KV blocks, peak"] == ["5", "of", "8", "0", "of", "8"]


def row(**changes: object) -> TraceRow:
    fields: dict[str, object] = {
        "step": 7,
        "time_s": 1.25,
        "tkv": 70,
        "waiting": (),
        "running": (RequestId("0"),),
        "paused": (),
        "outputs": (RequestId("0"),),
        "finished": (),
        "num_used_blocks": 2,
        "num_reserved_blocks": 1,
    }
    return TraceRow(**{**fields, **changes})  # type: ignore[arg-type] # by name, from above


def test_a_plain_decode_repeats_the_row_before() -> None:
    assert row(tkv=71).repeats(row())
    assert row(tkv=70).repeats(row())


@pytest.mark.parametrize(
    "changes",
    [
        {"tkv": 72},
        {"tkv": 6},
        {"waiting": ("1",)},
        {"running": ()},
        {"paused": ("1",)},
        {"outputs": ()},
        {"finished": ("0",)},
        {"num_used_blocks": 3},
        {"num_reserved_blocks": 0},
    ],
    ids=str,
)
def test_whatever_else_changes_is_worth_a_row(changes: dict[str, object]) -> None:
    assert not row(**changes).repeats(row())


def test_a_long_list_is_cut_and_counted() -> None:
    cells = trace_cells(row(waiting=tuple(RequestId(str(i)) for i in range(11))))
    assert cells == ["7", "1.250", "70", "0 1 2 3 4 5 6 7 +3", "0", "-", "0", "-", "2", "1"]

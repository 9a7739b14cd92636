"""What is told about a bench: the table, its notes, the file, and what became of a baseline."""

from dataclasses import replace
from pathlib import Path

import pytest

from steeple_cli.benching.compare import compared
from steeple_cli.benching.lag import Generator
from steeple_cli.benching.report import read_report, write_report
from steeple_cli.benching.table import as_text
from steeple_cli.load.figures import LatencyBound, Window
from steeple_cli.load.history import End
from steeple_cli.load.percentiles import Percentiles
from steeple_rpc.refused import SettingRefused
from tests.support.benches import ASKING, CALM, DONE, point, report
from tests.support.samples import sample

REFUSED = sample(end=End.FAILED, reason="QUEUE_FULL", is_refused=True)
LOST = sample(end=End.FAILED, reason="ENGINE_LOST")


def rows(text: str) -> dict[str, list[str]]:
    """The cells of the table by the names of its rows; columns have two spaces between them."""
    lines = (line.split("  ") for line in text.splitlines() if line)
    return {cells[0]: [cell.strip() for cell in cells[1:] if cell.strip()] for cells in lines}


def test_the_table_has_a_row_per_figure_and_a_column_per_load() -> None:
    told = rows(as_text(report([point(level=1, unit="caller"), point(DONE, DONE, REFUSED)])))
    assert told[""] == ["1 caller", "4 callers"]
    assert told["requests done"] == ["1", "2"]
    assert told["requests refused"] == ["0", "1"]
    assert told["output tokens"] == ["3", "6"]
    assert told["TTFT, p50 ms"] == ["100.0", "100.0"]
    assert told["ITL, p99 ms"] == ["200.0", "200.0"]
    assert told["TPOT, p50 ms"] == ["150.0", "150.0"]
    assert told["total, p50 ms"] == ["400.0", "400.0"]
    assert told["generator late, p99 ms"] == ["2.0", "2.0"]


def test_goodput_is_told_where_there_is_a_bound() -> None:
    assert "goodput" not in as_text(report([point()]))
    bound = LatencyBound(ttft_s=0.1, itl_s=0.05)
    text = as_text(report([point(bound=bound)], bound=bound))
    assert "good: TTFT ≤ 0.1 s and ITL ≤ 0.05 s" in text
    assert rows(text)["good requests"] == ["0.0%"]


def test_reasons_are_told_beneath() -> None:
    text = as_text(report([point(DONE, REFUSED, REFUSED, LOST)]))
    assert "4 callers: refused with QUEUE_FULL 2\n" in text
    assert "4 callers: failed with ENGINE_LOST 1\n" in text


@pytest.mark.parametrize(
    "slow",
    [
        Generator(lag_s=Percentiles(p50=0.0, p90=0.0, p95=0.0, p99=0.03), busy_share=0.1),
        Generator(lag_s=CALM.lag_s, busy_share=0.95),
    ],
)
def test_a_generator_that_does_not_keep_up_says_so(slow: Generator) -> None:
    assert "did not keep up" not in as_text(report([point()]))
    assert "4 callers: the load generator itself did not keep up" in as_text(
        report([point(generator=slow)])
    )


def test_an_open_loop_that_is_left_behind_says_so() -> None:
    """One of two requests ended within the window of a second."""
    late = [DONE, sample(5.0)]
    overrun = point(*late, level=2, unit="requests/s", window=Window(start_s=0.0, end_s=1.0))
    open_loop = replace(ASKING, arrivals="poisson", duration_s=1.0)
    assert "2 requests/s: 50% of what arrived was done within the window" in as_text(
        report([overrun], asking=open_loop)
    )
    assert "arrived" not in as_text(report([overrun]))


def test_a_report_is_read_as_it_was_written(tmp_path: Path) -> None:
    bound = LatencyBound(ttft_s=0.5)
    made = report([point(DONE, REFUSED, LOST, bound=bound), point(LOST)], bound=bound)
    write_report(made, tmp_path / "r.json")
    assert read_report(tmp_path / "r.json") == made


@pytest.mark.parametrize(
    ("text", "told"),
    [("{}", "no report of steeple bench --json"), ("x", "no report"), (None, "cannot be read")],
)
def test_what_is_no_report_is_named(tmp_path: Path, text: str | None, told: str) -> None:
    file = tmp_path / "r.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(SettingRefused, match=rf"r\.json.*{told}"):
        read_report(file)


def test_a_report_of_another_format_is_not_taken_for_one(tmp_path: Path) -> None:
    file = tmp_path / "r.json"
    write_report(report([point()]), file)
    file.write_text(file.read_text().replace("steeple-bench-1", "steeple-bench-2"))
    with pytest.raises(SettingRefused, match="format"):
        read_report(file)


def test_what_became_of_a_baseline_is_told_as_a_ratio() -> None:
    before = report([point(sample(0.1, 0.2)), point(level=8)])
    after = report([point(sample(0.3, 0.35)), point(level=16)])
    text = compared(before, after)
    told = rows(text)
    assert told["4 callers"] == ["before", "after", "ratio"]
    assert told["TTFT, p50 ms"] == ["100.0", "300.0", "3.00"]
    assert told["ITL, p50 ms"] == ["100.0", "50.0", "0.50"]
    assert told["requests failed"] == ["0", "0", "-"]
    assert "only before: 8 callers\n" in text
    assert "only after: 16 callers\n" in text
    assert "not the same" not in text


def test_benches_that_asked_for_other_things_are_told_apart() -> None:
    other = report([point()], asking=replace(ASKING, prompts="512"))
    assert "not the same load: prompts was 256, became 512\n" in compared(report([point()]), other)

"""Every public trace of a Spyre scheduler replays exactly; a wrong one is noticed."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from engine_svc.core.params import RequestId, SamplingParams, StoppingParams
from engine_svc.core.request_spec import RequestSpec
from engine_svc.core.scheduler.base import Never
from tests.support.trace_replay import Replay
from tests.support.traces import Trace, UnknownTrace, make_scheduler, read_traces

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "tests" / "data" / "spyre_traces.json"
TRACES = read_traces(FILE)


@pytest.mark.parametrize("trace", TRACES, ids=lambda trace: trace.title)
def test_the_trace_replays_exactly(trace: Trace) -> None:
    """tkv, queues, outputs, ends, blocks and, where given, tables, counts and slots."""
    assert [str(mismatch) for mismatch in Replay(trace).mismatches()] == []


@pytest.mark.parametrize("trace", TRACES, ids=lambda trace: trace.title)
def test_every_request_of_a_trace_is_one_that_we_accept(trace: Trace) -> None:
    """Nothing that the reference served is refused at validation."""
    scheduler, _ = make_scheduler(trace)
    for arrival in trace.arrivals:
        spec = RequestSpec(
            request_id=RequestId(arrival.id),
            prompt_token_ids=(1,) * arrival.prompt_len,
            sampling=SamplingParams(temperature=0.0),
            stopping=StoppingParams(max_tokens=arrival.max_tokens),
        )
        assert not isinstance(scheduler.capacity(spec), Never)


WRONG = {
    "tkv": 1,
    "waiting": ["9"],
    "running": ["9"],
    "outputs": ["9"],
    "finished": ["9"],
    "n_used_blocks": 99,
    "n_reserved_blocks": 99,
    "block_tables": {"9": [1]},
    "block_ref_count": {"9": 1},
    "n_cached_blocks": 99,
    "prefill_slot_mappings": {"9": [1]},
}


@pytest.mark.parametrize("field", sorted(WRONG))
def test_one_wrong_field_is_a_mismatch(field: str) -> None:
    """Of the right step, with what was expected and what was got."""
    trace = next(t for t in TRACES if t.name == "double_prefix_hit_within_batch")
    rows = tuple({**row, field: WRONG[field]} if row["step"] == 3 else row for row in trace.rows)
    (mismatch,) = Replay(replace(trace, rows=rows)).mismatches()
    assert (mismatch.step, mismatch.field, mismatch.expected) == (3, field, WRONG[field])
    assert mismatch.got != WRONG[field]


def test_left_out_rows_are_checked_too() -> None:
    """A trace that leaves out a row that is no plain decode differs there."""
    trace = next(t for t in TRACES if t.title == "cb_padded/prompts_aligned_with_tkv_boundaries")
    assert [row["step"] for row in trace.rows] == list(range(75))


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command, as a user runs it."""
    return subprocess.run(
        [sys.executable, "-m", "tests.traces", *arguments],
        cwd=ROOT,
        env={"PYTHONPATH": f"{ROOT}:{ROOT / 'protos'}"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command_prints_differences_and_ends_non_zero(tmp_path: Path) -> None:
    """One wrong value in one trace: that trace differs, by step, expected and got."""
    data = json.loads(FILE.read_text())
    data["modes"]["static"]["traces"][0]["steps"][1]["kv_len"] = 127
    wrong = tmp_path / "traces.json"
    wrong.write_text(json.dumps(data))
    result = run(str(wrong), "--only", "static/overlapping_shapes")
    assert result.returncode == 1
    assert "static/overlapping_shapes: differs" in result.stdout
    assert "step 1: kv_len: expected 127, got 128" in result.stdout
    assert "0 of 1 traces agree" in result.stdout


def test_the_command_ends_zero_when_all_agree() -> None:
    """--only takes a mode as well."""
    result = run(str(FILE), "--only", "static")
    assert (result.returncode, result.stderr) == (0, "")
    assert "2 of 2 traces agree" in result.stdout


def test_the_command_refuses_what_it_cannot_replay(tmp_path: Path) -> None:
    """No file, no such trace: status 2 and one line."""
    missing = run(str(tmp_path / "none.json"))
    assert missing.returncode == 2
    assert missing.stderr.startswith("error: ")
    assert run(str(FILE), "--only", "static/none").returncode == 2


def test_a_row_with_a_field_that_nobody_knows_is_refused() -> None:
    """The same for what is to be compared."""
    rows = ({"step": 0, "colour": 1},)
    with pytest.raises(UnknownTrace, match="colour"):
        list(Replay(replace(TRACES[0], rows=rows)).mismatches())


@pytest.mark.parametrize(
    "change",
    [{"config": {"colour": 1}}, {"config": {"env": {"SENDNN_INFERENCE_COLOUR": "1"}}}],
)
def test_settings_that_nobody_knows_are_refused(tmp_path: Path, change: dict[str, object]) -> None:
    """A setting that is ignored would make a replay that proves nothing."""
    trace = {"name": "x", "config": {}, "requests": [], "steps": [], **change}
    path = tmp_path / "traces.json"
    path.write_text(json.dumps({"modes": {"static": {"traces": [trace]}}}))
    with pytest.raises(UnknownTrace, match=r"(?i)colour"):
        read_traces(path)

"""Every public trace of a Spyre scheduler replays exactly; a wrong one is noticed."""

import json
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from engine_svc.core.params import RequestId, SamplingParams, StoppingParams
from engine_svc.core.request_spec import RequestSpec
from engine_svc.core.scheduler.base import Never
from tests.support.trace_file import UnknownTrace
from tests.support.trace_replay import Replay
from tests.support.traces import Trace, make_scheduler, read_traces
from tests.traces import main

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "tests" / "data" / "spyre_traces.json"
TRACES = read_traces(FILE)
ALIGNED = "prompts_aligned_with_tkv_boundaries"
SMALL = {"max_num_seqs": 2, "max_model_len": 256}
REQUEST = {"id": "0", "prompt_len": 10, "max_tokens": 5, "arrival_step": 0}


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


def test_rows_that_were_left_out_are_filled_in() -> None:
    """One for each step."""
    trace = next(t for t in TRACES if t.title == f"cb_padded/{ALIGNED}")
    assert [row["step"] for row in trace.rows] == list(range(75))


def test_left_out_rows_are_checked_too(tmp_path: Path) -> None:
    """A trace that leaves out a row that is no plain decode differs there, and only there."""
    data = json.loads(FILE.read_text())
    (trace,) = (t for t in data["modes"]["cb_padded"]["traces"] if t["name"] == ALIGNED)
    before, prefill = next(
        pair
        for pair in pairwise(trace["steps"])
        if 0 < len(pair[0]["running"]) < len(pair[1]["running"])
    )
    assert before["step"] == prefill["step"] - 1
    trace["steps"].remove(prefill)
    found = list(Replay(replayed(tmp_path, "cb_padded", trace)).mismatches())
    assert {mismatch.step for mismatch in found} == {prefill["step"]}
    assert {"waiting", "running", "outputs"} <= {mismatch.field for mismatch in found}


def replayed(tmp_path: Path, mode: str, trace: object) -> Trace:
    """A trace as a file of its own brings it."""
    path = tmp_path / "traces.json"
    path.write_text(json.dumps({"modes": {mode: {"traces": [trace]}}}))
    (read,) = read_traces(path)
    return read


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


def traces(mode: str, config: object, request: object = REQUEST, **more: Any) -> object:
    """A file with one trace of one request."""
    trace = {"name": "x", "config": config, "requests": [request], "steps": [{"step": 0}], **more}
    return {"modes": {mode: {"traces": [trace]}}}


@pytest.mark.parametrize(
    ("file", "told"),
    [
        ([], "the whole: "),
        ({}, "modes: "),
        ({"modes": {"best": {"traces": [{}]}}}, "modes.best.traces.0.name: "),
        (traces("best", {}), "mode best: "),
        (traces("static", []), "config: "),
        (traces("static", {}), "shapes: "),
        (traces("static", {"shapes": [[64, 20, "4"]]}), "shapes.0.2: "),
        (traces("static", {"shapes": []}), "--warmup-shapes"),
        (traces("chunked", {"max_num_seqs": 2}), "max_model_len: "),
        (traces("chunked", {**SMALL, "interleave": 1}), "interleave: "),
        (traces("chunked", {**SMALL, "env": []}), "env "),
        (
            traces("chunked", {**SMALL, "chunk_size": 100}),
            "chunked/x: --max-num-batched-tokens 100",
        ),
        (traces("cb_shift", SMALL, {**REQUEST, "prompt_len": "10"}), "requests.0.prompt_len: "),
        (traces("cb_shift", SMALL, {**REQUEST, "prompt_segments": [[0, 0, 9]]}), "9 tokens"),
        (traces("cb_shift", SMALL, requests=[REQUEST, REQUEST]), "one id"),
        (traces("cb_shift", SMALL, steps=[{"step": 1}, {"step": 0}]), "not in order"),
        (traces("cb_shift", SMALL, steps=[{"step": 0, "tkv": "0"}]), "steps.0.tkv: "),
    ],
)
def test_what_is_no_trace_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], file: object, told: str
) -> None:
    """Of the wrong form, of the wrong type, or with settings that the policy cannot work with."""
    path = tmp_path / "traces.json"
    path.write_text(json.dumps(file))
    assert main([str(path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {path}: ")
    assert error.count("\n") == 1
    assert told in error


@pytest.mark.parametrize("mode", ["cb_padded", "cb_shift"])
def test_a_request_that_can_never_run_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], mode: str
) -> None:
    """With the reason why; it is refused only where it would start."""
    config, request = {**SMALL, "available_blocks": 1}, {**REQUEST, "id": "7", "prompt_len": 64}
    path = tmp_path / "traces.json"
    path.write_text(json.dumps(traces(mode, config, request)))
    assert main([str(path)]) == 2
    told = f"{mode}/x: request 7 can never run: needs 2 KV blocks; there are 1"
    assert capsys.readouterr().err == f"error: {path}: {told}\n"


def test_a_text_that_is_no_json_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Likewise."""
    path = tmp_path / "traces.json"
    path.write_bytes(b"\xff{")
    assert main([str(path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


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

"""`steeple plan`, as it is called."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from engine_svc.core.scheduler.registry import SCHEDULERS
from engine_svc.settings import EngineSettings
from steeple_cli.app import app
from steeple_cli.planning.given_policy import GivenPolicy

ROOT = Path(__file__).resolve().parents[3]
FOUR = ["--requests=4", "--prompt-lens=20", "--output-lens=3"]
SMALL = [*FOUR, "--max-num-seqs=2"]
EXTRAS = ("torch", "fms", "transformers", "numpy", "matplotlib", "msgspec", "safetensors")
LONG = ["--max-model-len=1048576", "--output-lens=1000000"]
"""What would be simulated for hours."""
MOST = "16777216"
BLOCKS = ["--max-num-seqs", "--max-model-len", "--num-blocks", "KV blocks", MOST]
SHAPES = "--warmup-shapes=64:20:2,128:20:1"


def plan(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["plan", *arguments])


def planned(*arguments: str) -> Any:
    result = plan("--json", *arguments)
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_a_plan_tells_bounds_steps_and_figures() -> None:
    result = plan(*SMALL)
    assert (result.exit_code, result.stderr) == (0, "")
    assert (
        "continuous: context 2048, 2 seats, 512 batched tokens, 256 KV blocks of 16"
        in result.stdout
    )
    assert "step  time s  tkv  waiting  running" in result.stdout
    assert re.search(r"^requests finished +4$", result.stdout, flags=re.MULTILINE)


def test_policies_are_compared_on_the_same_requests() -> None:
    """Named one by one or in a list; each computes the same tokens."""
    names = list(SCHEDULERS)
    told = planned(*SMALL, SHAPES, f"--scheduler={','.join(names[:2])}", f"--scheduler={names[2]}")
    assert [policy["scheduler"] for policy in told["policies"]] == names[:3]
    for policy in told["policies"]:
        figures = policy["figures"]
        assert (figures["counts"]["num_finished"], figures["counts"]["num_refused"]) == (4, 0)
        assert figures["rates"]["prompt_tokens_per_s"] * figures["counts"][
            "span_s"
        ] == pytest.approx(4 * 20)
        assert figures["rates"]["output_tokens_per_s"] * figures["counts"][
            "span_s"
        ] == pytest.approx(4 * 3)


@pytest.mark.parametrize("name", SCHEDULERS)
def test_every_policy_can_be_planned(name: str) -> None:
    bounds = [SHAPES] if name == "static" else ["--max-num-seqs=2"]
    [policy] = planned(*FOUR, *bounds, f"--scheduler={name}")["policies"]
    assert policy["figures"]["counts"]["num_finished"] == 4
    assert policy["trace"]


def test_the_same_command_tells_the_same() -> None:
    arguments = ["--requests=20", "--rate=5", "--prompt-lens=lognormal:60:0.9", "--seed=3"]
    assert plan(*arguments).stdout == plan(*arguments).stdout


def test_prices_of_a_step_are_charged() -> None:
    """Two prompts of 20 and two decodes of two rows, twice: by hand."""
    prices = ["--step-base-ms=100", "--prefill-us-per-token=1000", "--decode-us-per-row=3000"]
    told = planned(*SMALL, *prices, "--kv-ns-per-token=0")
    [policy] = told["policies"]
    assert policy["figures"]["counts"]["span_s"] == pytest.approx(
        2 * (3 * 0.1 + 40 * 0.001 + 4 * 0.003)
    )
    assert told["step_time"]["base_ms"] == 100


def test_requests_come_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "requests.jsonl"
    path.write_text('{"prompt_len": 30, "max_tokens": 9, "output_len": 2}\n')
    [policy] = planned(f"--requests-file={path}")["policies"]
    assert policy["figures"]["counts"]["num_finished"] == 1
    assert policy["figures"]["rates"]["output_tokens_per_s"] * policy["figures"]["counts"][
        "span_s"
    ] == pytest.approx(2)


def test_refused_requests_are_told_and_the_plan_goes_on() -> None:
    result = plan("--requests=5", "--prompt-lens=90", "--max-model-len=64", "--output-lens=2")
    assert result.exit_code == 0
    assert "continuous refuses 5:" in result.stdout
    assert (
        "request 0: prompt of 90 tokens and max_tokens 2 exceed the context of 64" in result.stdout
    )
    assert "and 2 more" in result.stdout


@pytest.mark.parametrize(("trace", "count"), [("none", 0), ("2", 2), ("all", None)])
def test_the_trace_is_as_long_as_asked(trace: str, count: int | None) -> None:
    arguments = ["--requests=9", "--max-num-seqs=1", "--output-lens=2"]
    rows = planned(*arguments, f"--trace={trace}")["policies"][0]["trace"]
    assert len(rows) == (9 * 2 if count is None else count)


def test_a_comparison_shows_no_steps_unless_asked() -> None:
    policies = "--scheduler=continuous,spyre_chunked"
    traces = [p["trace"] for p in planned(*SMALL, policies)["policies"]]
    assert traces == [[], []]
    assert all(p["trace"] for p in planned(*SMALL, policies, "--trace=3")["policies"])


def test_a_timeline_is_drawn(tmp_path: Path) -> None:
    path = tmp_path / "out.png"
    assert plan(*SMALL, f"--timeline={path}").exit_code == 0
    assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--scheduler=best"], ["--scheduler", "continuous", "'best'"]),
        (["--scheduler=static"], ["static", "--warmup-shapes"]),
        (["--scheduler=static", "--warmup-shapes=64:20"], ["--warmup-shapes", "'64:20'"]),
        ([SHAPES], ["--warmup-shapes", "static", "continuous"]),
        (["--scheduler=static", SHAPES, "--max-num-seqs=2"], ["--max-num-seqs", "continuous"]),
        (["--join=wait"], ["--join", "spyre_continuous", "continuous"]),
        (["--scheduler=spyre_continuous", "--join=stay"], ["--join", "wait or shift", "'stay'"]),
        (["--scheduler=spyre_continuous", "--block-size=16"], ["--block-size 16", "64"]),
        (["--scheduler=spyre_chunked", "--max-num-batched-tokens=100"], ["100", "64"]),
        (
            ["--scheduler=spyre_chunked", "--over-limit=look-ahead", "--pause-order=most-first"],
            ["--pause-order", "--over-limit", "look-ahead"],
        ),
        (["--max-num-seqs=0"], ["--max-num-seqs", "1", "0"]),
        (["--max-num-seqs=64", "--max-num-batched-tokens=32"], ["32", "--max-num-seqs 64"]),
        (["--num-blocks=-1"], ["--num-blocks", "-1"]),
        (["--requests=0"], ["--requests", "1", "0"]),
        (["--requests=100001"], ["--requests", "100000", "100001"]),
        (["--max-num-seqs=512", "--max-model-len=1048576"], BLOCKS),
        (["--scheduler=spyre_chunked", "--max-num-seqs=1048576"], BLOCKS),
        (
            ["--scheduler=static", "--warmup-shapes=16384:16384:1024", "--block-size=1"],
            ["--warmup-shapes", "KV blocks", MOST],
        ),
        (["--max-model-len=long"], ["--max-model-len", "'long' is not a number", "4k"]),
        (["--num-blocks=1.5"], ["--num-blocks", "not a whole number"]),
        (["--rate=0"], ["--rate", "0.0001", "0"]),
        (["--rate=1e-308"], ["--rate", "0.0001", "1e-308"]),
        (["--rate=nan"], ["--rate", "nan"]),
        (["--prompt-lens=some"], ["--prompt-lens", "lognormal", "'some'"]),
        (["--output-lens="], ["--output-lens", "''"]),
        (["--max-tokens=0"], ["--max-tokens", "1", "0"]),
        (["--step-base-ms=0"], ["--step-base-ms", "0.001 to 1000000", "is 0"]),
        (["--step-base-ms=1e308"], ["--step-base-ms", "0.001 to 1000000", "1e+308"]),
        (["--trace=some"], ["--trace", "all or none", "'some'"]),
        (["--trace=0"], ["--trace", "0"]),
        (["--trace=" + "9" * 5000], ["--trace", "a number"]),
        (["--requests-file=/nowhere"], ["--requests-file", "/nowhere"]),
        (["--requests-file=/nowhere", "--seed=1"], ["--seed", "--requests-file"]),
        ([*LONG, "--timeline=/nowhere/t.png", "--requests=1000"], ["--timeline", "/nowhere/t.png"]),
        ([*LONG, "--timeline=t.png", "--requests=1001"], ["--timeline", "1000", "1001"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_planned_ends_2_with_one_line(arguments: list[str], told: list[str]) -> None:
    result = plan(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert all(word in result.stderr for word in told)


def test_counts_are_written_as_serve_takes_them() -> None:
    """32k is decimal, 1K binary."""
    written = plan(
        *SMALL, "--max-model-len=1K", "--max-num-batched-tokens=2,000", "--num-blocks=4k"
    )
    assert written.exit_code == 0, written.stderr
    plain = plan(
        *SMALL, "--max-model-len=1024", "--max-num-batched-tokens=2000", "--num-blocks=4000"
    )
    assert written.stdout == plain.stdout


def test_defaults_are_those_of_serve(tmp_path: Path) -> None:
    """What was planned is what will be served."""
    settings = EngineSettings(model=str(tmp_path))
    bounds = GivenPolicy().bounds()
    assert GivenPolicy().policies == (settings.scheduler,)
    assert bounds.max_num_seqs == settings.num_seqs
    assert bounds.max_num_batched_tokens == settings.num_batched_tokens
    assert bounds.options == settings.batching


def test_a_plan_loads_no_tensor_library() -> None:
    """Nor anything else of an extra: the plain installation plans; a picture needs one."""
    program = (
        "import sys\n"
        "from steeple_cli.app import app\n"
        f"app({['plan', *SMALL]!r}, standalone_mode=False)\n"
        f"print([m for m in {EXTRAS} if m in sys.modules])\n"
    )
    result = subprocess.run(  # noqa: PLW1510 - stderr is the message
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == "[]"


def test_the_real_command_plans() -> None:
    command = [f"{Path(sys.executable).parent}/steeple", "plan", *SMALL, "--json"]
    result = subprocess.run(  # noqa: PLW1510 - likewise
        command, cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert json.loads(result.stdout)["policies"][0]["figures"]["counts"]["num_finished"] == 4

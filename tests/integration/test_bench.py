"""`steeple bench` against real services: what it counts is what was asked for, to the token."""

import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import matplotlib.image
import pytest

from steeple_cli.benching.prompts import DrawnPrompts
from steeple_cli.planning.lengths import Uniform
from tests.support.command import ENVIRONMENT, STEEPLE, TIMEOUT_S
from tests.support.commands import steeple
from tests.support.deployment import Deployment

STEP_S = 0.005
"""Of the fake engine."""
PERCENTILES = ("p50", "p90", "p95", "p99")


def points(file: Path) -> list[Any]:
    """The loads of a written report."""
    found = json.loads(file.read_text())["points"]
    assert isinstance(found, list)
    return found


def drawn(number: int, *, after: int) -> tuple[int, int]:
    """Prompt and output tokens of so many requests after the first ones, as options draw them."""
    prompts = DrawnPrompts(
        prompt_lens=Uniform(1, 40),
        output_lens=Uniform(2, 20),
        max_model_len=1024,
        vocab_size=448,
        num_shared=0,
        seed=7,
    )
    asked = [prompts.take() for _ in range(after + number)][after:]
    return sum(len(each.prompt) for each in asked), sum(each.max_tokens for each in asked)


def test_a_sweep_counts_what_was_asked_for_to_the_token(fake: Deployment, tmp_path: Path) -> None:
    """Warm-up apart: one request per caller. Each load is the same requests."""
    out, chart = tmp_path / "b.json", tmp_path / "b.png"
    told = steeple(
        *("bench", f"--target={fake.target}", "--concurrency=1,4", "--requests=12", "--seed=7"),
        *("--prompt-lens=uniform:1:40", "--output-lens=uniform:2:20", "--connections=2"),
        *(f"--json={out}", f"--chart={chart}", "--ttft-bound=60", "--itl-bound=60"),
    )
    assert "1 caller  4 callers" in told.stdout
    for point, num_callers in zip(points(out), (1, 4), strict=True):
        figures = point["figures"]
        counts, tokens, latencies = figures["counts"], figures["tokens"], figures["latencies"]
        assert (counts["num_sent"], counts["num_done"], counts["failures"]) == (12, 12, {})
        expected = drawn(12, after=num_callers)
        assert (tokens["num_prompt_tokens"], tokens["num_output_tokens"]) == expected
        assert tokens["num_cached_prompt_tokens"] == 0
        assert figures["rates"]["good_share"] == 1.0
        # What ends within the window is at least what was measured.
        rates = figures["rates"]
        assert rates["requests_per_s"] * rates["window_s"] >= 11.999
        assert rates["tokens_per_s"] * rates["window_s"] >= expected[1] - 0.001
        for times in ("ttft_s", "itl_s", "gap_s", "tpot_s", "total_s", "queue_s"):
            found = [latencies[times][name] for name in PERCENTILES]
            assert found == sorted(found)
        assert latencies["ttft_s"]["p50"] < latencies["total_s"]["p50"]
        assert latencies["queue_s"]["p99"] <= latencies["ttft_s"]["p99"]
        assert point["generator"]["lag_s"] is not None
    assert matplotlib.image.imread(chart).std() > 0.05  # it is not blank


def test_no_answer_is_faster_than_its_steps(fake: Deployment, tmp_path: Path) -> None:
    """Every token takes a step of 5 ms, whatever the machine does."""
    out = tmp_path / "b.json"
    steeple(
        *("bench", f"--target={fake.target}", "--concurrency=4", "--requests=8", f"--json={out}"),
        *("--prompt-lens=10", "--output-lens=20", f"--chart={tmp_path / 'c.png'}"),
    )
    (point,) = points(out)
    assert point["figures"]["latencies"]["total_s"]["p50"] >= 20 * STEP_S
    assert point["figures"]["rates"]["window_s"] >= 2 * 20 * STEP_S
    assert matplotlib.image.imread(tmp_path / "c.png").std() > 0.05


def test_an_open_loop_sends_what_its_schedule_says(fake: Deployment, tmp_path: Path) -> None:
    out = tmp_path / "b.json"
    told = steeple(
        *("bench", f"--target={fake.target}", "--rate=50", "--arrivals=constant"),
        *("--duration=0.49", "--warm-up=3", "--prompt-lens=8", "--output-lens=4", f"--json={out}"),
    )
    (point,) = points(out)
    assert point["figures"]["counts"]["num_sent"] == 25
    assert point["figures"]["rates"]["window_s"] == pytest.approx(0.49)
    assert "50 requests/s" in told.stdout


def test_only_a_shared_prefix_comes_from_the_cache(fake: Deployment, tmp_path: Path) -> None:
    """Two blocks of 16 each; and nothing of what the same bench left there a moment ago."""
    out = tmp_path / "b.json"
    same = ("bench", f"--target={fake.target}", "--concurrency=1", "--requests=6", "--warm-up=1")
    for options, num_cached in (
        (["--shared-prefix=32"], 6 * 32),
        (["--shared-prefix=32"], 6 * 32),
        ([], 0),
        ([], 0),
    ):
        steeple(*same, "--prompt-lens=40", "--output-lens=2", f"--json={out}", *options)
        (point,) = points(out)
        assert point["figures"]["tokens"]["num_cached_prompt_tokens"] == num_cached


def test_prompts_come_from_a_file(fake: Deployment, tmp_path: Path) -> None:
    file, out = tmp_path / "p.jsonl", tmp_path / "b.json"
    file.write_text(
        '{"text": "2+2=", "max_tokens": 3}\n'
        '{"messages": [{"role": "user", "content": "What is 2+2?"}], "max_tokens": 5}\n'
    )
    steeple(
        *("bench", f"--target={fake.target}", "--concurrency=2", "--requests=4", "--warm-up=0"),
        *(f"--prompts={file}", f"--json={out}"),
    )
    (point,) = points(out)
    assert point["figures"]["tokens"]["num_output_tokens"] == 2 * (3 + 5)


def test_who_is_refused_is_counted_apart_and_is_no_failure(fake: Deployment) -> None:
    """8 seats, a queue of 32 and 16 answers a second: most of 200 at once are told to come again.

    However slowly they are sent: in ten seconds they would all be served.
    """
    told = steeple(
        *("bench", f"--target={fake.target}", "--concurrency=200", "--requests=200"),
        *("--warm-up=0", "--prompt-lens=4", "--output-lens=100"),
    )
    assert "refused with QUEUE_FULL" in told.stdout
    assert "failed with" not in told.stdout


def test_a_failure_is_told_with_its_reason_and_ends_1(fake: Deployment) -> None:
    told = steeple(
        *("bench", f"--target={fake.target}", "--concurrency=1", "--requests=2", "--warm-up=0"),
        *("--prompt-lens=4", "--output-lens=200", "--timeout=0.2"),
        status=1,
    )
    assert "failed with DEADLINE_E" in told.stdout


@pytest.mark.parametrize(
    ("options", "status", "error"),
    [
        (["--model=nobody"], 1, "NOT_FOUND MODEL_NOT_FOUND: "),
        (["--prompt-lens=2000"], 2, "the model's context has 1024 tokens; "),
        (["--concurrency=0"], 2, "--concurrency is 1 to 10000; it is 0"),
        (["--chart=/none/c.png"], 2, "--chart /none/c.png cannot be written: there is no such"),
        (["--json=/none/b.json"], 2, "--json /none/b.json cannot be written: there is no such"),
        (["--baseline=/none/b.json"], 2, "/none/b.json cannot be read: "),
    ],
    ids=str,
)
def test_what_cannot_be_measured_is_one_line(
    fake: Deployment, options: list[str], status: int, error: str
) -> None:
    told = steeple("bench", f"--target={fake.target}", *options, status=status)
    assert told.stdout == ""
    assert told.stderr.startswith(f"error: {error}")
    assert told.stderr.count("\n") == 1


def test_a_baseline_is_compared_at_once_or_later(fake: Deployment, tmp_path: Path) -> None:
    before, after = tmp_path / "before.json", tmp_path / "after.json"
    load = ("--concurrency=1,2", "--requests=3", "--prompt-lens=8", "--output-lens=4")
    same = ("bench", f"--target={fake.target}", *load)
    steeple(*same, f"--json={before}")
    at_once = steeple(*same, f"--json={after}", f"--baseline={before}")
    later = steeple("bench", "compare", str(before), str(after))
    assert later.stdout
    assert at_once.stdout.endswith(later.stdout)
    titles = [line.split() for line in later.stdout.splitlines() if "ratio" in line]
    assert titles == [
        ["1", "caller", "before", "after", "ratio"],
        ["2", "callers", "before", "after", "ratio"],
    ]


def test_a_token_never_leaves_this_machine_in_plaintext() -> None:
    told = steeple("bench", "--target=192.0.2.1:50051", "--token=secret", status=1)
    assert "TOKEN_NEEDS_TLS" in told.stderr
    assert "secret" not in told.output


def test_ctrl_c_keeps_the_loads_that_were_measured(fake: Deployment, tmp_path: Path) -> None:
    """The second one would take five minutes."""
    out, chart = tmp_path / "b.json", tmp_path / "b.png"
    running = subprocess.Popen(
        [
            *(*STEEPLE, "bench", f"--target={fake.target}", "--rate=200,0.02", "--requests=5"),
            *("--prompt-lens=5", "--output-lens=2", f"--json={out}", f"--chart={chart}"),
        ],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert running.stderr is not None
        assert running.stderr.readline().startswith("200 requests/s: 5 done")
        running.send_signal(signal.SIGINT)
        stdout, stderr = running.communicate(timeout=TIMEOUT_S)
    finally:
        running.kill()
    assert (running.returncode, stderr) == (130, "interrupted: 1 of 2 loads were measured\n")
    assert "requests done           5" in stdout
    assert [point["level"] for point in points(out)] == [200]
    assert chart.exists()

"""The `steeple` command as a person uses it: serve, wait, generate, chat, demo."""

import json
import signal
from collections.abc import Iterator

import psutil
import pytest

from tests.support.command import Serving, steeple
from tests.support.ports import free_port
from tests.support.processes import runs
from tests.support.scraping import scrape


@pytest.fixture(scope="module")
def serving() -> Iterator[Serving]:
    running = Serving()
    try:
        yield running
    finally:
        running.stop()


def test_serve_tells_one_line_and_leaves_no_process() -> None:
    """Address, model, KV tokens, concurrency on stdout; nothing on stderr; all children end."""
    serving = Serving("--max-num-seqs=4", "--max-model-len=256")
    line = serving.line()
    children = serving.children()
    status, stderr = serving.stop()
    assert line == (
        f"serving demo (GraniteForCausalLM, float32) on {serving.target}: KV cache of 1,024 tokens,"
        " at most 4 requests of 256 tokens at once\n"
    )
    # Three services, the engine's core, the tokenizer's two template workers.
    assert len(children) == 6
    assert (status, stderr) == (0, "")
    assert psutil.wait_procs(children, timeout=10)[1] == []


@pytest.mark.parametrize(
    ("policy", "told"),
    [
        (["continuous", "--max-num-seqs=3"], "at most 3 requests of 1,024 tokens at once"),
        (
            ["static", "--warmup-shapes=64:20:4,128:20:2"],
            "at most 4 requests of 148 tokens at once",
        ),
        (
            ["spyre_continuous", "--max-num-seqs=2", "--join=wait", "--max-model-len=256"],
            "at most 2 requests of 256 tokens at once",
        ),
        (
            ["spyre_chunked", "--max-num-seqs=2", "--max-num-batched-tokens=128"],
            "at most 2 requests of 1,024 tokens at once",
        ),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_serve_takes_every_policy(policy: list[str], told: str) -> None:
    """Its options bound what is served, as the line tells; the answer is the demo's."""
    name, *options = policy
    serving = Serving(f"--scheduler={name}", *options)
    try:
        assert told in serving.line()
        assert steeple("chat", "What is 2+2?", f"--target={serving.target}").stdout == "4\n"
    finally:
        serving.stop()


def test_killing_serve_ends_its_services_too() -> None:
    """The services see their standard input end."""
    serving = Serving()
    serving.line()
    children = serving.children()
    serving.stop(signal.SIGKILL)
    assert psutil.wait_procs(children, timeout=30)[1] == []


def test_a_dead_service_is_started_again() -> None:
    """Kill -9 of the engine service: requests are served again without anybody's help."""
    serving = Serving()
    try:
        serving.line()
        engine = next(c for c in serving.children() if runs(c, "engine_svc"))
        engine.kill()
        psutil.wait_procs([engine], timeout=10)
        assert steeple("wait", "--timeout=60", f"--target={serving.target}").returncode == 0
    finally:
        serving.stop()


def test_wait_generate_and_chat(serving: Serving) -> None:
    """Only the text on stdout."""
    target = f"--target={serving.target}"
    assert steeple("wait", "--timeout=60", target).returncode == 0
    assert steeple("generate", "What is 2+2?", target).stdout == "4\n"
    assert steeple("chat", "What is 3+4?", target).stdout == "7\n"


def test_chat_keeps_the_conversation(serving: Serving) -> None:
    """The follow-up refers to the answer before it."""
    steeple("wait", "--timeout=60", f"--target={serving.target}")
    told = steeple("chat", f"--target={serving.target}", stdin="What is 2+2?\nand plus 3?\n")
    assert told.stdout == "4\n7\n"


def test_json_tells_every_event(serving: Serving) -> None:
    """One line each, the text in the deltas."""
    steeple("wait", "--timeout=60", f"--target={serving.target}")
    told = steeple("chat", "What is 2+2?", "--json", f"--target={serving.target}")
    events = [json.loads(line) for line in told.stdout.splitlines()]
    assert events[0]["event"] == "started"
    assert events[-1]["event"] == "usage"
    assert "".join(e.get("text", "") for e in events) == "4"


def test_a_refusal_is_typed_and_on_stderr(serving: Serving) -> None:
    """Status 1; code, reason and message in one line."""
    steeple("wait", "--timeout=60", f"--target={serving.target}")
    told = steeple("generate", "a", "--max-tokens=99999", f"--target={serving.target}")
    assert told.returncode == 1
    assert told.stdout == ""
    assert told.stderr.startswith("error: INVALID_ARGUMENT CONTEXT_EXCEEDED: stopping.max_tokens")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--model=/nowhere/at/all"], "no model at /nowhere/at/all"),
        (["--max-model-len=4096"], "--max-model-len 4096 exceeds the model's context"),
        (["--host=0.0.0.0"], "--insecure-bind"),
        (["--no-interleave"], "--interleave: the policy continuous does not read it"),
        (["--scheduler=best", "--runner=fake"], "--scheduler best: choose one of continuous"),
        (["--scheduler=static", "--runner=fake"], "needs --warmup-shapes"),
        (["--scheduler=static", "--warmup-shapes=64"], "is not prompt:new:batch"),
        (
            ["--scheduler=spyre_chunked", "--max-num-batched-tokens=100", "--runner=fake"],
            "--max-num-batched-tokens 100: the length of a chunk must be a multiple of 64: take 64",
        ),
        (
            ["--scheduler=spyre_continuous", "--max-num-seqs=1", "--min-decode-rows=2"],
            "--max-num-seqs 1 is below --min-decode-rows 2: raise it",
        ),
    ],
)
def test_what_cannot_be_served_is_told_in_one_line(arguments: list[str], told: str) -> None:
    """Status 2, the remedy, no process left."""
    done = steeple("serve", f"--port={free_port()}", *arguments)
    assert done.returncode == 2
    assert told in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_demo_verifies_its_answer() -> None:
    """What `make demo` runs."""
    done = steeple("demo")
    assert (done.returncode, done.stderr) == (0, "")
    assert "What is 2+2? 4\n" in done.stdout


def test_serve_tells_where_metrics_are() -> None:
    """Of all three services; a port of their own each."""
    serving = Serving("--runner=fake", "--metrics-port=0")
    try:
        told = serving.line().rstrip("\n").partition("; metrics on ")[2]
        served = dict(place.removesuffix(")").split(" (")[::-1] for place in told.split(", "))
        assert list(served) == ["gateway", "tokenizer", "engine"]
        for address in served.values():
            assert scrape(address).value("process_cpu_seconds_total") > 0
    finally:
        serving.stop()

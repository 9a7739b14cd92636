"""F-09: a step raises, for one request, once for a whole batch, or always.

The guilty request alone ends STEP_FAILED; its neighbours' answers are what they are without it. A
runner that always raises ends its core, and another one serves.
"""

from pathlib import Path

from tests.support.deployment import wait_for_event
from tests.support.fault_counts import count
from tests.support.lone_engine import LoneEngine, Stream
from tests.support.pace import Pace

GUILTY = 66
NEIGHBOURS = [(5, 6, 7), (8, 9), (10, 11, 12, 13), (14,)]
MAX_TOKENS = 40


def test_a_request_that_makes_steps_raise_dies_alone(demo_dir: Path) -> None:
    """Again and again, under four streams that get every token of theirs."""
    with LoneEngine(
        demo_dir, f"--fake-raise-token-id={GUILTY}", "--max-faulty-requests=1000"
    ) as engine:
        alone = [engine.answer(*prompt, max_tokens=MAX_TOKENS) for prompt in NEIGHBOURS]
        streams = [engine.stream(*prompt, max_tokens=MAX_TOKENS) for prompt in NEIGHBOURS]
        for stream in streams:
            stream.wait_for_tokens(1)
        guilty = [engine.stream(5, 6, GUILTY) for _ in range(count(5, 100))]
        assert {stream.reason for stream in guilty} == {"STEP_FAILED"}
        assert not [token for stream in guilty for token in stream.tokens]
        assert [stream.join().tokens for stream in streams] == alone
        assert "core_lost" not in engine.service.names()


def _all_running(engine: LoneEngine, pace: Pace) -> list[Stream]:
    """A stream for each neighbour: all compute before the step that fails."""
    pace.slow()
    streams = [engine.stream(*prompt, max_tokens=MAX_TOKENS) for prompt in NEIGHBOURS]
    for stream in streams:
        stream.wait_for_tokens(1)
    pace.fast()
    return streams


def test_a_step_that_raises_once_for_nobody_costs_nobody_anything(
    demo_dir: Path, pace: Pace
) -> None:
    """Its parts pass: all tokens come."""
    with LoneEngine(demo_dir, "--fake-failure-step=20", pace=pace) as engine:
        told = [stream.join().tokens for stream in _all_running(engine, pace)]
        wait_for_event(engine.service, "step_failed")
        assert told == [(list(prompt) * MAX_TOKENS)[:MAX_TOKENS] for prompt in NEIGHBOURS]


def test_a_runner_that_always_raises_is_replaced(demo_dir: Path, pace: Pace) -> None:
    """Its streams end ENGINE_LOST: others may serve them. The next core serves as long."""
    script = ("--fake-failure-step=20", "--fake-failure-lasts")
    with LoneEngine(demo_dir, *script, pace=pace) as engine:
        streams = _all_running(engine, pace)
        assert {stream.reason for stream in streams} == {"ENGINE_LOST"}
        for stream, prompt in zip(streams, NEIGHBOURS, strict=True):
            assert stream.tokens == (list(prompt) * MAX_TOKENS)[: len(stream.tokens)]
        engine.wait_until_ready(times=2)
        assert engine.answer(5, 6, max_tokens=3) == [5, 6, 5]
        assert {"core_sick", "core_lost"} <= set(engine.service.names())

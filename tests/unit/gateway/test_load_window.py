"""What the gateway remembers of the last seconds, and what an engine's counters tell."""

from dataclasses import replace

import pytest

from gateway.engine_history import EngineHistory
from gateway.load_window import LoadWindow
from gateway.request_watch import RequestWatch, RequestWatches
from gateway.upstream_values import EngineReport


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def window(clock: Clock) -> LoadWindow:
    return LoadWindow(clock)


def test_a_request_counts_where_its_parts_happen(clock: Clock, window: LoadWindow) -> None:
    window.started("m", 7, 0.25)
    window.tokens("m", 1, 0.5, is_first=True)
    window.tokens("m", 4, 0.08, is_first=False)
    window.ended("m", "MAX_TOKENS")
    found = window.of("m")
    assert (found.num_prompt_tokens, found.num_completion_tokens) == (7, 5)
    assert (found.num_ended, found.num_failed) == (1, 0)
    assert found.queue.p50_s == pytest.approx(0.25, rel=0.05)
    assert found.time_to_first_token.p50_s == pytest.approx(0.5, rel=0.05)
    assert found.inter_token.count == 4
    assert found.inter_token.p99_s == pytest.approx(0.02, rel=0.05)
    clock.now += 11
    assert window.of("m").num_ended == 0
    assert window.of("m").inter_token.count == 0


@pytest.mark.parametrize(
    ("outcome", "num_failed"),
    [("EOS", 0), ("STOP_STRING", 0), ("CANCELLED", 0), ("ENGINE_LOST", 1), ("INTERNAL", 1)],
)
def test_who_left_has_not_failed(window: LoadWindow, outcome: str, num_failed: int) -> None:
    window.ended("m", outcome)
    assert (window.of("m").num_ended, window.of("m").num_failed) == (1, num_failed)


def test_refusals_before_a_permit_belong_to_no_model(clock: Clock, window: LoadWindow) -> None:
    window.ended("", "QUEUE_FULL")
    assert window.num_refused == 1
    clock.now += 11
    assert window.num_refused == 0


def test_takeovers_are_counted_for_ever(clock: Clock, window: LoadWindow) -> None:
    window.taken_over("ENGINE_LOST")
    clock.now += 100
    assert window.num_takeovers == 1


def test_a_model_nobody_asked_for_has_an_empty_window(window: LoadWindow) -> None:
    assert window.of("m").num_ended == 0


def test_several_watches_are_told_everything() -> None:
    """Every method of the seam: a new one that is not passed on turns this red."""
    told: list[tuple[int, str]] = []

    def watch(number: int) -> RequestWatch:
        def note(name: str) -> object:
            return lambda *_, **__: told.append((number, name))

        names = [name for name in vars(RequestWatch) if not name.startswith("_")]
        made = type("Noting", (RequestWatch,), {name: note(name) for name in names})
        return made()  # type: ignore[no-any-return] # made of names

    both = RequestWatches((watch(1), watch(2)))
    both.admitted("m", limit=1)
    both.released("m")
    both.started("m", 1, 0.0)
    both.tokens("m", 1, 0.0, is_first=True)
    both.used("m", None)  # type: ignore[arg-type] # nobody looks at it
    both.ended("m", "EOS")
    both.taken_over("ENGINE_LOST")
    names = [name for name in vars(RequestWatch) if not name.startswith("_")]
    assert sorted(told) == sorted((number, name) for number in (1, 2) for name in names)


def report(steps: int, tokens: int = 0, *, running: int = 0) -> EngineReport:
    return EngineReport(num_steps=steps, num_output_tokens=tokens, num_running=running)


def test_counters_become_what_was_done_in_the_window() -> None:
    history = EngineHistory()
    history.note(report(10, 100), 0.0)
    history.note(report(15, 180), 5.0)
    history.note(report(30, 300, running=3), 12.0)
    work = history.work
    assert work is not None
    assert (work.counted_s, work.num_steps, work.num_output_tokens) == (7.0, 15, 120)
    assert work.report.num_running == 3


def test_one_report_alone_tells_no_rate() -> None:
    history = EngineHistory()
    history.note(report(10, 100), 0.0)
    assert history.work is not None
    assert (history.work.counted_s, history.work.num_output_tokens) == (0.0, 0)


def test_a_new_core_counts_from_zero() -> None:
    history = EngineHistory()
    history.note(report(10, 100), 0.0)
    history.note(report(2, 3), 1.0)
    history.note(report(4, 9), 2.0)
    assert history.work is not None
    assert (history.work.num_steps, history.work.num_output_tokens) == (2, 6)


@pytest.mark.parametrize(
    "more",
    [
        EngineReport(num_preemptions=5),
        EngineReport(num_prompt_tokens=500),
        EngineReport(num_cached_prompt_tokens=500),
    ],
)
def test_a_new_core_that_is_ahead_of_the_old_one_in_steps_counts_from_zero(
    more: EngineReport,
) -> None:
    """What was done would be less than nothing, which no message can say."""
    history = EngineHistory()
    history.note(replace(more, num_steps=1), 0.0)
    history.note(report(9, 9), 1.0)
    assert history.work is not None
    assert (history.work.counted_s, history.work.num_steps) == (0.0, 0)


def test_an_engine_that_falls_silent_is_not_idle() -> None:
    history = EngineHistory()
    history.note(report(10), 0.0)
    history.note(None, 1.0)
    assert history.last is None
    assert history.work is None

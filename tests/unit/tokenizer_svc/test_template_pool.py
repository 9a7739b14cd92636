"""Templates in processes of their own: the same texts, and an end to whatever does not end."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path

import psutil
import pytest
import structlog

from steeple_rpc.errors import InvalidRequest
from tests.support.templates import ATTACKS, DEEP_COMPARISON, in_process
from tests.support.waiting import LIMIT_S, eventually
from tokenizer_svc.chat.template_meter import RenderLimits
from tokenizer_svc.chat.template_pool import TemplatePool
from tokenizer_svc.chat.template_process import TemplateProcess
from tokenizer_svc.errors import StartupError

LIMITS = RenderLimits(max_chars=1 << 20, max_work=16 << 20, max_cpu_s=0.25)
LITTLE_WORK = 1 << 18
"""Done long before the time is over, also on a slow machine."""
MESSAGES = {"messages": [{"role": "user", "content": "Grüße \ud83e 🦊 <|end|>"}], "tools": None}
SOURCE = "{% for m in messages %}{{ m.role }}: {{ m|tojson }}\n{% endfor %}{{ tools is none }}"


@pytest.fixture(scope="module")
def pool() -> Iterator[TemplatePool]:
    """Two workers."""
    with TemplatePool(2) as opened:
        yield opened


def _workers() -> list[psutil.Process]:
    # Not of services that other tests have left running.
    children = psutil.Process().children()
    return [c for c in children if "tokenizer_svc.chat.template_worker" in c.cmdline()]


def test_a_worker_renders_what_this_process_would(pool: TemplatePool) -> None:
    """Any JSON value arrives as it is, halves of surrogate pairs too."""
    there = pool.template(SOURCE).render(MESSAGES, LIMITS)
    assert there == in_process(SOURCE).render(MESSAGES, LIMITS)


def test_what_the_template_raises_is_told(pool: TemplatePool) -> None:
    template = pool.template("{{ raise_exception('roles must alternate') }}")
    with pytest.raises(InvalidRequest, match="roles must alternate") as caught:
        template.render(MESSAGES, LIMITS)
    assert (caught.value.reason, caught.value.field) == ("TEMPLATE_FAILED", "messages")


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_is_told_as_it_would_be_here(pool: TemplatePool, attack: str) -> None:
    """The confined process lacks nothing that a refusal needs."""
    source, limits = ATTACKS[attack], replace(LIMITS, max_work=LITTLE_WORK)
    told = []
    for make in (pool.template, in_process):
        with pytest.raises(InvalidRequest) as caught:
            make(source).render(MESSAGES, limits)
        told.append((caught.value.reason, caught.value.message))
    assert told[0] == told[1]


def test_a_template_that_cannot_be_compiled_is_refused_at_start(pool: TemplatePool) -> None:
    with pytest.raises(StartupError, match="chat template is invalid"):
        pool.template("{% for %}")


def test_a_step_that_nothing_can_interrupt_ends_with_its_worker(pool: TemplatePool) -> None:
    """The kernel's timer ends the process; the pool is whole again for the next rendering."""
    template, good = pool.template(DEEP_COMPARISON), pool.template("fine")
    with structlog.testing.capture_logs() as logs:
        for _ in range(2):
            with pytest.raises(InvalidRequest, match="takes too long") as caught:
                template.render(MESSAGES, LIMITS)
            assert caught.value.reason == "TEMPLATE_FAILED"
    # The meter says the same of a step that has come to its end by itself.
    assert [log["event"] for log in logs] == ["template_overran"] * 2
    with ThreadPoolExecutor(4) as threads:
        texts = list(threads.map(lambda _: good.render(MESSAGES, LIMITS), range(20)))
    assert texts == ["fine"] * 20


def test_a_new_worker_learns_each_template_as_it_is_wanted() -> None:
    """Others know them; this one is not lost over what nobody told it."""
    before = {process.pid for process in _workers()}
    with TemplatePool(1) as pool, structlog.testing.capture_logs() as logs:
        templates = [pool.template(text) for text in ("one", "two")]
        (first,) = [process for process in _workers() if process.pid not in before]
        first.kill()
        eventually(lambda: first.status() == psutil.STATUS_ZOMBIE)
        texts = [template.render(MESSAGES, LIMITS) for template in templates]
    assert texts == ["one", "two"]
    assert [log["event"] for log in logs] == ["template_worker_died"]


def test_a_worker_that_was_killed_is_replaced_and_the_rendering_repeated(
    pool: TemplatePool,
) -> None:
    """Nobody notices: rendering has no effect but its text."""
    template = pool.template("still here")
    for worker in _workers():
        worker.kill()
        worker.wait(LIMIT_S)
    assert [template.render(MESSAGES, LIMITS) for _ in range(4)] == ["still here"] * 4


def test_memory_beyond_the_workers_limit_is_a_failed_rendering() -> None:
    """The meter would refuse it earlier; here it is told to let it pass."""
    worker = TemplateProcess()
    try:
        assert worker.compile(1, "{{ ('a' * 10**9)|length }}") is None
        generous = replace(LIMITS, max_chars=1 << 40, max_work=1 << 40, max_cpu_s=30.0)
        with pytest.raises(InvalidRequest) as caught:
            worker.render(1, {}, asdict(generous))
        assert caught.value.reason == "TEMPLATE_FAILED"
        assert psutil.Process(worker.pid).memory_info().rss < 200 << 20
    finally:
        worker.close()


@pytest.mark.skipif(not Path("/proc").exists(), reason="needs Linux's limits")
def test_a_worker_can_open_nothing() -> None:
    """Whatever escaped the sandbox would find no file, no socket and no core dump."""
    worker = TemplateProcess()
    try:
        assert worker.compile(1, "x") is None
        limits = psutil.Process(worker.pid)
        assert limits.rlimit(psutil.RLIMIT_NOFILE) == (0, 0)
        assert limits.rlimit(psutil.RLIMIT_CORE) == (0, 0)
    finally:
        worker.close()


def test_closing_ends_the_workers() -> None:
    before = {process.pid for process in _workers()}
    with TemplatePool(2):
        ours = [process for process in _workers() if process.pid not in before]
        assert len(ours) == 2
    assert not [process for process in ours if process.is_running()]


def test_a_worker_ends_by_itself_when_its_service_is_gone() -> None:
    """Closing the service's end is all that is left to see of a service that was killed."""
    worker = TemplateProcess()
    assert worker.compile(1, "x") is None
    process = psutil.Process(worker.pid)
    worker._peer.close()
    assert process.wait(30) == 0
    worker.close()


def test_a_worker_that_died_idle_costs_no_rendering_an_attempt() -> None:
    """Where many died at once, two attempts might both find dead ones."""
    before = {process.pid for process in _workers()}
    with TemplatePool(2) as pool, structlog.testing.capture_logs() as logs:
        template = pool.template("still here")
        for worker in [process for process in _workers() if process.pid not in before]:
            worker.kill()
            # Not waited for: their ends are the pool's to notice.
            eventually(lambda w=worker: w.status() == psutil.STATUS_ZOMBIE)  # type: ignore[misc] # bound now
        with ThreadPoolExecutor(2) as threads:
            texts = list(threads.map(lambda _: template.render(MESSAGES, LIMITS), range(4)))
    assert texts == ["still here"] * 4
    assert {log["event"] for log in logs} == {"template_worker_died"}

"""A real Prometheus answers every query of the dashboard while requests run, and no alert rings."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from steeple_client import Client
from tests.integration.conftest import FAKE
from tests.support.deployment import Deployment
from tests.support.prometheus_server import (
    PrometheusServer,
    scrape_targets,
    skip_without_prometheus,
)
from tests.support.queries import alert_queries, dashboard_queries
from tests.support.waiting import eventually

ON = ("--metrics-listen=127.0.0.1:0",)
WINDOW = "10s"
SAME_PROMPT = "one two three four five six seven eight nine ten eleven twelve thirteen"


@pytest.fixture(scope="module")
def prometheus(
    demo_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PrometheusServer]:
    """It scrapes three services that answer requests all the while."""
    skip_without_prometheus()
    folder = tmp_path_factory.mktemp("prometheus")
    with (
        Deployment(demo_dir, engine=[*FAKE, *ON], gateway=ON, tokenizer=ON) as deployment,
        PrometheusServer(folder, scrape_targets(deployment), "500ms") as server,
        requests_that_never_end(deployment.target),
    ):
        yield server


@contextmanager
def requests_that_never_end(target: str) -> Iterator[None]:
    """Texts and chats, one after the other."""
    is_over = threading.Event()

    def ask() -> None:
        with Client(target) as client:
            while not is_over.is_set():
                client.generate(SAME_PROMPT, max_tokens=20, ignore_eos=True)
                client.chat("hello", max_tokens=5)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield
    finally:
        is_over.set()
        asking.join(30)


@pytest.mark.parametrize("name", sorted(dashboard_queries(WINDOW)))
def test_a_query_of_the_dashboard_is_answered(prometheus: PrometheusServer, name: str) -> None:
    """With numbers, and none of them negative."""
    query = dashboard_queries(WINDOW)[name]
    eventually(lambda: len(prometheus.values(query)) > 0, lambda: query)
    assert all(value >= 0 for value in prometheus.values(query))


def test_what_runs_is_seen_as_it_is(prometheus: PrometheusServer) -> None:
    """Tokens are told, the KV cache is in use, prompts come from the prefix cache."""
    queries = dashboard_queries(WINDOW)
    for name in ("Tokens: completion", "Requests by outcome: {{outcome}}", "CPU: {{job}}"):
        eventually(lambda: sum(prometheus.values(queries[name])) > 0, lambda: name)  # noqa: B023 - called at once
    cached = queries["Prompt tokens from the prefix cache: cached"]
    # What the very first requests were told is in the window for a while: nothing was cached yet.
    eventually(lambda: any(0 < share < 1 for share in prometheus.values(cached)), lambda: cached)
    eventually(lambda: len(prometheus.values(queries["Memory: {{job}}"])) == 3)


def test_no_alert_rings_while_all_is_well(prometheus: PrometheusServer) -> None:
    """And every rule is evaluated: one that names what is not there would say nothing for ever."""
    eventually(lambda: prometheus.values("up") == [1.0, 1.0, 1.0])
    # A scrape that comes too late on a busy machine is no alert: it would have to last.
    for query in alert_queries().values():
        eventually(lambda: prometheus.values(query) == [], lambda: query)  # noqa: B023 - called at once
    assert prometheus.values('ALERTS{alertstate="firing"}') == []

"""What the processes hold: memory, descriptors, threads, and what the gateway counts as open."""

from dataclasses import dataclass

import psutil

from tests.support.cluster import Cluster
from tests.support.scraping import scrape_text

OPEN = (
    "steeple_rpcs_in_flight",
    "steeple_gateway_permits_in_use",
    "steeple_gateway_detokenize_sessions",
)
SLACK = 1.05
MIN_SLACK_BYTES = 8 << 20
SLACK_COUNT = 4
"""Connections that are being made again, a thread that has not ended yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """The gateway at one moment; it is the one process that lives through the whole soak."""

    rss_bytes: int
    num_descriptors: int
    num_threads: int
    still_open: tuple[str, ...]
    """RPCs, permits and sessions: the metrics that are not 0."""


def book_of(cluster: Cluster) -> Book:
    """Look now."""
    gateway = psutil.Process(cluster.gateway.process.pid)
    return Book(
        rss_bytes=gateway.memory_info().rss,
        num_descriptors=gateway.num_fds(),
        num_threads=gateway.num_threads(),
        still_open=_still_open(_metrics(cluster)),
    )


def differences(before: Book, after: Book) -> list[str]:
    """What has not come back; empty = everything."""
    allowed = max(before.rss_bytes * SLACK, before.rss_bytes + MIN_SLACK_BYTES)
    told = []
    if after.rss_bytes > allowed:
        told.append(f"memory: {before.rss_bytes >> 20} MiB before, {after.rss_bytes >> 20} after")
    told += [
        f"{name}: {getattr(before, name)} before, {getattr(after, name)} after"
        for name in ("num_descriptors", "num_threads")
        if getattr(after, name) > getattr(before, name) + SLACK_COUNT
    ]
    return [*told, *after.still_open]


def _metrics(cluster: Cluster) -> str:
    events = cluster.gateway.events
    address = next(event["address"] for event in events if event["event"] == "metrics_serving")
    return scrape_text(str(address))


def _still_open(metrics: str) -> tuple[str, ...]:
    lines = [line for line in metrics.splitlines() if line.startswith(OPEN)]
    return tuple(line for line in lines if float(line.rpartition(" ")[2]) != 0)

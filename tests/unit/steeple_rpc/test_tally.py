"""Many equal observations at once: a scrape tells the same as of the library's histogram."""

from prometheus_client import CollectorRegistry, Histogram, generate_latest

from steeple_rpc.tally import Tally

BUCKETS = (0.01, 0.1, 1.0)
OBSERVED = [("a", 0.005, 3), ("a", 0.01, 2), ("a", 0.5, 1), ("b", 7.0, 4), ("b", 0.1, 1)]


def test_a_scrape_reads_as_the_librarys_histogram_would() -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    tally = Tally("waits_seconds", "Waits.", "model", buckets=BUCKETS, registry=ours)
    histogram = Histogram("waits_seconds", "Waits.", ["model"], buckets=BUCKETS, registry=theirs)
    assert generate_latest(ours) == generate_latest(theirs)
    for model, amount, count in OBSERVED:
        tally.observe(model, amount, count)
        for _ in range(count):
            histogram.labels(model).observe(amount)
    told = [line for line in generate_latest(theirs).splitlines() if b"_created" not in line]
    assert b'waits_seconds_bucket{le="0.01",model="a"} 5.0' in told
    assert sorted(generate_latest(ours).splitlines()) == sorted(told)

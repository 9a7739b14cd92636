"""docs/metrics.md names exactly the metrics that there are."""

import re
from pathlib import Path

import yaml

from tests.support.metrics_told import Told, metrics_in_the_code

PAGE = Path(__file__).resolve().parents[2] / "docs" / "metrics.md"
ROW = re.compile(
    r"^\| `(?P<name>steeple_\w+)` \| (?P<kind>\w+) \| (?P<labels>.*?) \| (?P<text>.+) \|$"
)


def on_the_page() -> set[Told]:
    rows = [match for line in PAGE.read_text().splitlines() if (match := ROW.match(line))]
    return {
        Told(
            name=row["name"],
            kind=row["kind"],
            labels=tuple(re.findall(r"`(\w+)`", row["labels"])),
            text=row["text"],
        )
        for row in rows
    }


def test_the_page_and_the_code_name_the_same_metrics() -> None:
    assert sorted(on_the_page()) == sorted(metrics_in_the_code())


def test_what_prometheus_is_told_is_where_the_metrics_are() -> None:
    """The three ports of the command above it, and alerts that are there."""
    text = PAGE.read_text()
    (port,) = re.findall(r"steeple serve --metrics-port (\d+)", text)
    (block,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    told = yaml.safe_load(block)
    targets = [job["static_configs"][0]["targets"] for job in told["scrape_configs"]]
    assert targets == [[f"127.0.0.1:{int(port) + idx}"] for idx in range(3)]
    assert [job["job_name"] for job in told["scrape_configs"]] == ["gateway", "tokenizer", "engine"]
    assert all((PAGE.parents[1] / name).is_file() for name in told["rule_files"])


def test_counters_and_times_say_their_unit() -> None:
    for told in metrics_in_the_code():
        assert told.kind != "counter" or told.name.endswith("_total")
        assert told.kind != "histogram" or told.name.endswith(("_seconds", "_tokens"))
        assert told.kind == "counter" or not told.name.endswith("_total")

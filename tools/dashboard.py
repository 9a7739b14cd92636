"""Write the Grafana dashboard; one line per panel. `python -m tools.dashboard` after a change.

tests/integration/test_dashboard_queries.py asks a real Prometheus every query under load.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

FILE = Path(__file__).resolve().parents[1] / "deploy" / "grafana" / "dashboards" / "steeple.json"
DATA_SOURCE = {"type": "prometheus", "uid": "prometheus"}
WINDOW = "$__rate_interval"
"""Grafana's own: long enough for a rate, whatever span is looked at."""
COLUMNS = 24
WIDTH, HEIGHT = 8, 7
SCHEMA = 39

Json: TypeAlias = Mapping[str, Any]  # what Grafana reads is as deep as it likes


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One chart over time."""

    title: str
    text: str
    """What it says, for whoever looks at it for the first time."""
    unit: str
    """As Grafana names it."""
    queries: Sequence[tuple[str, str]]
    """PromQL, and its legend."""
    is_stacked: bool = False


def rate(metric: str, *, by: str = "") -> str:
    """A counter's growth per second, 0 before it has counted anything."""
    grouped = f" by ({by})" if by else ""
    otherwise = "" if by else " or vector(0)"
    return f"sum{grouped}(rate({metric}[{WINDOW}])){otherwise}"


def quantiles(histogram: str) -> Sequence[tuple[str, str]]:
    """The middle, and what the slowest wait."""
    return [
        (
            f"histogram_quantile({q}, sum by (le) (rate({histogram}_bucket[{WINDOW}])))",
            f"p{100 * q:g}",
        )
        for q in (0.5, 0.95, 0.99)
    ]


def mean(histogram: str, *, by: str) -> str:
    """What it measures, on average."""
    return f"{rate(f'{histogram}_sum', by=by)} / {rate(f'{histogram}_count', by=by)}"


def share(part: str, whole: str) -> str:
    """What part of a counter's growth is another's; nothing while nothing grows."""
    return f"sum(rate({part}[{WINDOW}])) / sum(rate({whole}[{WINDOW}]))"


PANELS = (
    Panel(
        title="Requests",
        text="Live at the engines, and the places that the gateway gives.",
        unit="short",
        queries=[
            ("sum(steeple_engine_requests_running)", "running"),
            ("sum(steeple_engine_requests_waiting)", "waiting"),
            ("sum(steeple_gateway_permits_limit)", "places"),
        ],
    ),
    Panel(
        title="Tokens",
        text="Per second: read in prompts, and told to callers.",
        unit="short",
        queries=[
            (rate("steeple_gateway_prompt_tokens_total"), "prompt"),
            (rate("steeple_gateway_completion_tokens_total"), "completion"),
        ],
    ),
    Panel(
        title="Requests by outcome",
        text="Ended per second: by finish reason, or by the reason of the error.",
        unit="reqps",
        queries=[
            # Most outcomes never come: they would fill the legend.
            (rate("steeple_gateway_requests_total", by="outcome") + " > 0", "{{outcome}}")
        ],
        is_stacked=True,
    ),
    Panel(
        title="Time to first token",
        text="From a request's arrival to its first token; waiting for a place included.",
        unit="s",
        queries=quantiles("steeple_gateway_time_to_first_token_seconds"),
    ),
    Panel(
        title="Inter-token latency",
        text="Between two tokens of a stream.",
        unit="s",
        queries=quantiles("steeple_gateway_inter_token_latency_seconds"),
    ),
    Panel(
        title="Where the time of a request goes",
        text="Mean of requests that ended well.",
        unit="s",
        queries=[(mean("steeple_gateway_request_phase_seconds", by="phase"), "{{phase}}")],
        is_stacked=True,
    ),
    Panel(
        title="KV cache",
        text="Blocks by state; the states add up to all there are.",
        unit="short",
        queries=[("sum by (state) (steeple_engine_kv_blocks)", "{{state}}")],
        is_stacked=True,
    ),
    Panel(
        title="Prompt tokens from the prefix cache",
        text="Share of the prompt tokens that no step had to compute.",
        unit="percentunit",
        queries=[
            (
                share(
                    "steeple_engine_cached_prompt_tokens_total",
                    "steeple_engine_prompt_tokens_total",
                ),
                "cached",
            )
        ],
    ),
    Panel(
        title="What went wrong",
        text="Per second. Preemptions: the cache is too small. Losses: see the engine's log.",
        unit="short",
        queries=[
            (rate("steeple_engine_preemptions_total"), "preemptions"),
            (rate("steeple_engine_core_losses_total"), "cores lost"),
            (rate("steeple_gateway_takeovers_total"), "takeovers"),
            (rate("steeple_engine_faults_total"), "requests given up"),
            (rate('steeple_rpcs_total{code!~"OK|CANCELLED"}'), "RPCs with an error"),
        ],
    ),
    Panel(
        title="Step duration",
        text="Of the engine: from scheduling a step to its result.",
        unit="s",
        queries=quantiles("steeple_engine_step_duration_seconds"),
    ),
    Panel(
        title="Tokens per step",
        text="How full batches are: output tokens of a step, on average.",
        unit="short",
        queries=[(mean("steeple_engine_step_output_tokens", by="job"), "output tokens")],
    ),
    Panel(
        title="Tokenizer service",
        text="Mean duration of its work, waiting included.",
        unit="s",
        queries=[(mean("steeple_tokenizer_work_seconds", by="work"), "{{work}}")],
    ),
    Panel(
        title="CPU",
        text="Cores in use by each service; an engine's core process is not among them.",
        unit="short",
        queries=[(rate("process_cpu_seconds_total", by="job"), "{{job}}")],
    ),
    Panel(
        title="Memory",
        text="Resident, by service; an engine's core process is not among them.",
        unit="bytes",
        queries=[("sum by (job) (process_resident_memory_bytes)", "{{job}}")],
    ),
    Panel(
        title="Open streams and calls",
        text="Sessions: outputs whose text is being decoded. RPCs: those of all services.",
        unit="short",
        queries=[
            ("sum(steeple_tokenizer_sessions)", "sessions"),
            ("sum(steeple_rpcs_in_flight)", "RPCs in flight"),
        ],
    ),
)


def dashboard() -> Json:
    """What Grafana reads."""
    return {
        "uid": "steeple",
        "title": "Steeple",
        "schemaVersion": SCHEMA,
        "editable": False,
        "refresh": "5s",
        "time": {"from": "now-15m", "to": "now"},
        "timezone": "browser",
        "panels": [_panel(number, panel) for number, panel in enumerate(PANELS)],
    }


def _panel(number: int, panel: Panel) -> Json:
    place = number * WIDTH
    custom = {
        "fillOpacity": 30 if panel.is_stacked else 5,
        "stacking": {"mode": "normal" if panel.is_stacked else "none"},
    }
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.text,
        "datasource": DATA_SOURCE,
        "gridPos": {
            "x": place % COLUMNS,
            "y": place // COLUMNS * HEIGHT,
            "w": WIDTH,
            "h": HEIGHT,
        },
        "fieldConfig": {
            "defaults": {"unit": panel.unit, "min": 0, "custom": custom},
            "overrides": [],
        },
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}},
        "targets": [
            {"refId": chr(ord("A") + index), "expr": expression, "legendFormat": legend}
            for index, (expression, legend) in enumerate(panel.queries)
        ],
    }


def text() -> str:
    """The file: a line per panel, so that a change shows as one."""
    facts = dict(dashboard())
    panels = ",\n".join(json.dumps(panel) for panel in facts.pop("panels"))
    return f'{json.dumps(facts)[:-1]}, "panels": [\n{panels}\n]}}\n'


if __name__ == "__main__":
    FILE.write_text(text())

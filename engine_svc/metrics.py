"""The engine's metrics: requests, blocks, steps, as the core tells. docs/metrics.md tells all.

Most is read at a scrape, from the last step alone: so one scrape never mixes two steps, and a
step costs a few microseconds.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from engine_svc.core.messages import StepOutputs
from engine_svc.core.outputs import FAULT_REASONS, SchedulerLoad
from engine_svc.core_watch import CoreWatch
from steeple_rpc.metrics import DURATION_BUCKETS, TOKEN_BUCKETS

_STEP_TOKEN_BUCKETS = tuple(float(1 << power) for power in range(11))
_NOTHING = SchedulerLoad(
    num_running=0,
    num_waiting=0,
    num_waiting_tokens=0,
    num_free_blocks=0,
    num_used_blocks=0,
    num_cached_blocks=0,
    num_total_blocks=0,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Counts:
    """What cores counted."""

    steps: int = 0
    output_tokens: int = 0
    preemptions: int = 0
    prompt_tokens: int = 0
    cached_prompt_tokens: int = 0

    def plus(self, other: "_Counts") -> "_Counts":
        return _Counts(
            steps=self.steps + other.steps,
            output_tokens=self.output_tokens + other.output_tokens,
            preemptions=self.preemptions + other.preemptions,
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            cached_prompt_tokens=self.cached_prompt_tokens + other.cached_prompt_tokens,
        )


def _counts(last: StepOutputs | None) -> _Counts:
    if last is None:
        return _Counts()
    return _Counts(
        steps=last.num_steps,
        output_tokens=last.num_output_tokens,
        preemptions=last.load.num_preemptions,
        prompt_tokens=last.load.num_prompt_tokens,
        cached_prompt_tokens=last.load.num_cached_prompt_tokens,
    )


class EngineMetrics(CoreWatch):
    """A `CoreWatch` that counts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        # Of cores that are gone, and of the one that is there: replaced as one, read by a scrape.
        self._state: tuple[_Counts, StepOutputs | None] = (_Counts(), None)
        self._make_times(registry)
        self._restarts = Counter(
            "steeple_engine_core_losses",
            "Cores that died or were replaced.",
            registry=registry,
        )
        self._faults = Counter(
            "steeple_engine_faults",
            "Requests that the core gave up, by reason.",
            ("reason",),
            registry=registry,
        )
        for reason in FAULT_REASONS:
            self._faults.labels(reason)
        registry.register(_LastStep(lambda: self._state))

    def _make_times(self, registry: CollectorRegistry) -> None:
        self._step_s = Histogram(
            "steeple_engine_step_duration_seconds",
            "From scheduling a step to its result.",
            buckets=TOKEN_BUCKETS,
            registry=registry,
        )
        self._step_tokens = Histogram(
            "steeple_engine_step_output_tokens",
            "Output tokens of a step.",
            buckets=_STEP_TOKEN_BUCKETS,
            registry=registry,
        )
        self._queue_s = Histogram(
            "steeple_engine_queue_seconds",
            "From a request's acceptance to its first step.",
            buckets=DURATION_BUCKETS,
            registry=registry,
        )

    def follow_progress(self, since_last_step_s: Callable[[], float]) -> None:
        """Tell how long the core has been silent at each scrape; any thread may ask."""
        gauge = Gauge(
            "steeple_engine_seconds_since_last_step",
            "Silence of a core that has work; 0 while it has none.",
            registry=self._registry,
        )
        gauge.set_function(since_last_step_s)

    def stepped(self, outputs: StepOutputs) -> None:
        """See CoreWatch."""
        before, last = self._state
        self._state = (before, outputs)
        if outputs.step_s > 0:
            self._step_s.observe(outputs.step_s)
            known = last.num_output_tokens if last else 0
            self._step_tokens.observe(outputs.num_output_tokens - known)
        for output in outputs.outputs:
            if output.is_first:
                self._queue_s.observe(output.queue_s)
            if output.fault is not None:
                self._faults.labels(output.fault.reason).inc()

    def core_lost(self) -> None:
        """See CoreWatch."""
        before, last = self._state
        self._state = (before.plus(_counts(last)), None)
        self._restarts.inc()


class _LastStep(Collector):
    """Everything that the last step tells, read at once."""

    def __init__(self, state: Callable[[], tuple[_Counts, StepOutputs | None]]) -> None:
        self._state = state

    def collect(self) -> Iterator[Metric]:
        """One scrape."""
        before, last = self._state()
        yield from _gauges(last.load if last else _NOTHING)
        yield from _counters(before.plus(_counts(last)))


def _gauges(load: SchedulerLoad) -> Iterator[Metric]:
    def gauge(name: str, text: str, value: int) -> Metric:
        return GaugeMetricFamily(f"steeple_engine_{name}", text, value=value)

    yield gauge("requests_running", "Requests that hold blocks.", load.num_running)
    yield gauge("requests_waiting", "Requests accepted, not yet computed.", load.num_waiting)
    yield gauge("waiting_tokens", "Prompt tokens of waiting requests.", load.num_waiting_tokens)
    yield gauge("kv_blocks_capacity", "Blocks there are.", load.num_total_blocks)
    blocks = GaugeMetricFamily(
        "steeple_engine_kv_blocks",
        "Blocks by state; the states add up to the capacity.",
        labels=("state",),
    )
    blocks.add_metric(("free",), load.num_free_blocks)
    blocks.add_metric(("used",), load.num_used_blocks)
    blocks.add_metric(("cached",), load.num_cached_blocks)
    yield blocks


def _counters(counts: _Counts) -> Iterator[Metric]:
    def counter(name: str, text: str, value: int) -> Metric:
        return CounterMetricFamily(f"steeple_engine_{name}", text, value=value)

    yield counter("steps", "Steps run.", counts.steps)
    yield counter("output_tokens", "Output tokens computed.", counts.output_tokens)
    yield counter(
        "preemptions",
        "Requests that gave their blocks back to compute them again.",
        counts.preemptions,
    )
    yield counter("prompt_tokens", "Prompt tokens of started requests.", counts.prompt_tokens)
    yield counter(
        "cached_prompt_tokens",
        "Prompt tokens of started requests that the prefix cache spared.",
        counts.cached_prompt_tokens,
    )

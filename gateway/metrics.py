"""The gateway's metrics: requests, what they wait for, their tokens. docs/metrics.md tells all."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from gateway.outcomes import ENDS, REFUSALS
from gateway.request_watch import RequestWatch
from gateway.takeover import LOSSES
from gateway.values import Usage
from steeple_rpc.metrics import DURATION_BUCKETS, TOKEN_BUCKETS, BoundedLabel
from steeple_rpc.tally import Tally

_NS = 1e-9
_MODEL = ("model",)


class GatewayMetrics(RequestWatch):
    """A `RequestWatch` that counts. Models are known ones: the catalog resolved them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._outcome = BoundedLabel()
        self._make_counters(registry)
        self._make_times(registry)
        self._live = Gauge(
            "steeple_gateway_permits_in_use",
            "Requests that hold a permit.",
            _MODEL,
            registry=registry,
        )
        self._limit = Gauge(
            "steeple_gateway_permits_limit",
            "Permits there are, as of the last admission.",
            _MODEL,
            registry=registry,
        )

    def _make_counters(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"steeple_gateway_{name}", text, labels, registry=registry)

        self._requests = counter(
            "requests",
            "Requests that have ended, by finish reason or error; no model where refused early.",
            *("model", "outcome"),
        )
        self._prompt = counter("prompt_tokens", "Prompt tokens of started requests.", "model")
        self._cached = counter(
            "cached_prompt_tokens",
            "Prompt tokens that the prefix cache spared requests that ended well.",
            "model",
        )
        self._completion = counter("completion_tokens", "Completion tokens told.", "model")
        self._takeovers = counter(
            "takeovers", "Times that a request went on after the loss of its engine.", "reason"
        )
        self._begin_at_zero()

    def _begin_at_zero(self) -> None:
        """Rates do not see a series rise that begins with its first count."""
        for reason in LOSSES:
            self._takeovers.labels(self._outcome(reason))
        for reason in REFUSALS:
            self._requests.labels("", self._outcome(reason))

    def _make_times(self, registry: CollectorRegistry) -> None:
        self._first_token = Histogram(
            "steeple_gateway_time_to_first_token_seconds",
            "From a request's arrival to its first delta with a token.",
            _MODEL,
            buckets=DURATION_BUCKETS,
            registry=registry,
        )
        self._between = Tally(
            "steeple_gateway_inter_token_latency_seconds",
            "Between two deltas, per token of the later one; one observation per token.",
            *_MODEL,
            buckets=TOKEN_BUCKETS,
            registry=registry,
        )
        self._phases = Histogram(
            "steeple_gateway_request_phase_seconds",
            "Phases of requests that ended well.",
            ("phase",),
            buckets=DURATION_BUCKETS,
            registry=registry,
        )

    def model_served(self, model: str) -> None:
        """A model can be asked for: count what becomes of its requests from 0 on. Idempotent."""
        for outcome in ENDS:
            self._requests.labels(model, self._outcome(outcome))
        for counter in (self._prompt, self._cached, self._completion):
            counter.labels(model)

    def follow_sessions(self, num_sessions: Callable[[], int]) -> None:
        """Tell how many detokenize sessions are open at each scrape; any thread may ask."""
        gauge = Gauge(
            "steeple_gateway_detokenize_sessions",
            "Open sessions on the stream to the tokenizer service.",
            registry=self._registry,
        )
        gauge.set_function(num_sessions)

    def admitted(self, model: str, *, limit: int) -> None:
        """See RequestWatch."""
        self._live.labels(model).inc()
        self._limit.labels(model).set(limit)

    def released(self, model: str) -> None:
        """See RequestWatch."""
        self._live.labels(model).dec()

    def started(self, model: str, num_prompt_tokens: int, queue_s: float) -> None:  # noqa: ARG002 - counted once it ended well
        """See RequestWatch."""
        self._prompt.labels(model).inc(num_prompt_tokens)

    def tokens(self, model: str, count: int, gap_s: float, *, is_first: bool) -> None:
        """See RequestWatch."""
        self._completion.labels(model).inc(count)
        if is_first:
            self._first_token.labels(model).observe(gap_s)
            return
        self._between.observe(model, gap_s / count, count)

    def used(self, model: str, usage: Usage) -> None:
        """See RequestWatch."""
        self._cached.labels(model).inc(usage.num_cached_prompt_tokens)
        for phase, nanoseconds in (
            ("tokenize", usage.tokenize_ns),
            ("queue", usage.queue_ns),
            ("prefill", usage.prefill_ns),
            ("decode", usage.decode_ns),
        ):
            self._phases.labels(phase).observe(nanoseconds * _NS)

    def ended(self, model: str, outcome: str) -> None:
        """See RequestWatch."""
        self._requests.labels(model, self._outcome(outcome)).inc()

    def taken_over(self, reason: str) -> None:
        """See RequestWatch."""
        self._takeovers.labels(self._outcome(reason)).inc()

"""The tokenizer service's metrics: its work, its sessions. docs/metrics.md tells all."""

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from steeple_rpc.metrics import DURATION_BUCKETS
from tokenizer_svc.work_watch import Work, WorkWatch


class TokenizerMetrics(WorkWatch):
    """A `WorkWatch` that counts.

    Args:
        registry: where it is scraped.
        models: served ones; they are counted from 0 on.
    """

    def __init__(self, registry: CollectorRegistry, models: Iterable[str]) -> None:
        self._registry = registry
        self._work = Histogram(
            "steeple_tokenizer_work_seconds",
            "Texts encoded, conversations rendered, sequences decoded; waiting included.",
            ("work", "model"),
            buckets=DURATION_BUCKETS,
            registry=registry,
        )
        self._tokens = Counter(
            "steeple_tokenizer_prompt_tokens",
            "Ids of the prompts that were encoded.",
            ("model",),
            registry=registry,
        )
        for model in models:
            self._tokens.labels(model)

    def follow_streams(
        self, num_streams: Callable[[], int], num_sessions: Callable[[], int]
    ) -> None:
        """Tell how many of them are open at each scrape; any thread may ask."""
        for name, text, count in (
            ("streams", "Detokenize streams that are open: one per gateway.", num_streams),
            ("sessions", "Detokenize sessions that are open: one per live output.", num_sessions),
        ):
            gauge = Gauge(f"steeple_tokenizer_{name}", text, registry=self._registry)
            gauge.set_function(count)

    def worked(self, work: Work, model: str, seconds: float) -> None:
        """See WorkWatch."""
        self._work.labels(work.value, model).observe(seconds)

    def encoded(self, model: str, num_tokens: int) -> None:
        """See WorkWatch."""
        self._tokens.labels(model).inc(num_tokens)

"""LoadService: how busy everything is. What is told is made at most ten times a second."""

import asyncio
from collections.abc import AsyncIterator, Callable

from gateway.admission import Admission
from gateway.backends import Backends
from gateway.catalog import Catalog
from gateway.engine_history import EngineWork
from gateway.load_window import LoadWindow
from gateway.sliding import Latency
from gateway.upstreams import Engine
from gateway.watchers import Watchers
from steeple.inference.v1 import load_service_pb2, load_service_pb2_grpc
from steeple_rpc.context import Context, current_rpc, send_headers
from steeple_rpc.limits import Bounds, check_number
from steeple_rpc.version import steeple_version

DEFAULT_INTERVAL_MS = 1000
INTERVAL_MS = Bounds(low=100, high=60_000)
FRESH_S = 0.1
"""So old may be what is told: many watchers cost what one does."""


class LoadService(load_service_pb2_grpc.LoadServiceServicer):
    """LoadService of inference/v1.

    Args:
        backends: whose engines are told of.
        admission: who holds permits.
        window: what happened in the last seconds.
        watchers: who watch it.
        clock: monotonic seconds; the service begins now.
    """

    def __init__(
        self,
        backends: Backends,
        admission: Admission,
        window: LoadWindow,
        watchers: Watchers,
        clock: Callable[[], float],
    ) -> None:
        self._backends = backends
        self._admission = admission
        self._window = window
        self._clock = clock
        self._begin = self._made_at = clock()
        self._made: load_service_pb2.Load | None = None
        self._watchers = watchers

    async def GetLoad(
        self, request: load_service_pb2.GetLoadRequest, context: Context
    ) -> load_service_pb2.GetLoadResponse:
        """The load now."""
        return load_service_pb2.GetLoadResponse(load=self._load())

    async def WatchLoad(
        self, request: load_service_pb2.WatchLoadRequest, context: Context
    ) -> AsyncIterator[load_service_pb2.WatchLoadResponse]:
        """The load again and again."""
        given = request.interval_ms if request.HasField("interval_ms") else DEFAULT_INTERVAL_MS
        check_number("interval_ms", given, INTERVAL_MS)
        with self._watchers.place(current_rpc().principal):
            await send_headers(context)
            while True:
                with self._watchers.telling():
                    yield load_service_pb2.WatchLoadResponse(load=self._load())
                await asyncio.sleep(given / 1e3)

    def _load(self) -> load_service_pb2.Load:
        now = self._clock()
        if self._made is None or now - self._made_at >= FRESH_S:
            self._made, self._made_at = self._make(now), now
        return self._made

    def _make(self, now: float) -> load_service_pb2.Load:
        catalog = self._backends.catalog()
        return load_service_pb2.Load(
            gateway=self._gateway(catalog, now),
            models=[self._model(catalog, name) for name in sorted(catalog.known_models)],
            engines=map(_engine, self._backends.engines),
        )

    def _gateway(self, catalog: Catalog, now: float) -> load_service_pb2.GatewayLoad:
        uptime_s = now - self._begin
        return load_service_pb2.GatewayLoad(
            version=steeple_version(),
            uptime_ns=_ns(uptime_s),
            window_ns=_ns(min(uptime_s, self._window.window_s)),
            tokenizer_ready=bool(catalog.tokenizers),
            num_sessions=self._backends.detokenizer.num_sessions,
            num_refused=self._window.num_refused,
            num_takeovers=self._window.num_takeovers,
        )

    def _model(self, catalog: Catalog, name: str) -> load_service_pb2.ModelLoad:
        window = self._window.of(name)
        return load_service_pb2.ModelLoad(
            model=name,
            trouble=catalog.trouble(name),
            num_live=self._admission.num_live(name),
            num_permits=catalog.max_live(name),
            num_ended=window.num_ended,
            num_failed=window.num_failed,
            prompt_tokens=window.num_prompt_tokens,
            completion_tokens=window.num_completion_tokens,
            time_to_first_token=_latency(window.time_to_first_token),
            inter_token=_latency(window.inter_token),
            queue=_latency(window.queue),
        )


def _engine(engine: Engine) -> load_service_pb2.EngineLoad:
    facts, work = engine.facts, engine.work
    if facts is None:
        return load_service_pb2.EngineLoad(ready=False)
    return load_service_pb2.EngineLoad(
        ready=True,
        model=facts.model,
        runner=facts.runner,
        device=facts.device,
        scheduler=facts.scheduler,
        num_here=engine.load.num_here,
        work=None if work is None else _work(work, facts.block_size),
    )


def _work(work: EngineWork, block_size: int) -> load_service_pb2.EngineWork:
    report = work.report
    return load_service_pb2.EngineWork(
        num_running=report.num_running,
        num_waiting=report.num_waiting,
        num_waiting_tokens=report.num_waiting_tokens,
        num_free_blocks=report.num_free_blocks,
        num_used_blocks=report.num_used_blocks,
        num_cached_blocks=report.num_cached_blocks,
        num_total_blocks=report.num_total_blocks,
        block_size=block_size,
        draining=report.is_draining,
        since_last_step_ns=report.since_last_step_ns,
        counted_ns=_ns(work.counted_s),
        num_steps=work.num_steps,
        num_output_tokens=work.num_output_tokens,
        num_preemptions=work.num_preemptions,
        num_prompt_tokens=work.num_prompt_tokens,
        num_cached_prompt_tokens=work.num_cached_prompt_tokens,
    )


def _latency(latency: Latency) -> load_service_pb2.Latency:
    return load_service_pb2.Latency(
        count=latency.count,
        p50_ns=_ns(latency.p50_s),
        p90_ns=_ns(latency.p90_s),
        p99_ns=_ns(latency.p99_s),
    )


def _ns(seconds: float) -> int:
    return int(seconds * 1e9)

"""The load's messages as the client's values."""

from steeple.inference.v1 import load_service_pb2
from steeple_client.load import EngineLoad, EngineWork, GatewayLoad, Latency, Load, ModelLoad

_NS = 1e9


def to_load(message: load_service_pb2.Load) -> Load:
    """One telling; counts of the window become rates."""
    gateway = message.gateway
    window_s = gateway.window_ns / _NS
    return Load(
        gateway=GatewayLoad(
            version=gateway.version,
            uptime_s=gateway.uptime_ns / _NS,
            window_s=window_s,
            is_tokenizer_ready=gateway.tokenizer_ready,
            num_sessions=gateway.num_sessions,
            num_refused=gateway.num_refused,
            num_takeovers=gateway.num_takeovers,
        ),
        models=tuple(_model(model, window_s) for model in message.models),
        engines=tuple(map(_engine, message.engines)),
    )


def _model(message: load_service_pb2.ModelLoad, window_s: float) -> ModelLoad:
    return ModelLoad(
        model=message.model,
        trouble=message.trouble,
        num_live=message.num_live,
        num_permits=message.num_permits,
        num_ended=message.num_ended,
        num_failed=message.num_failed,
        prompt_tokens_per_s=_share(message.prompt_tokens, window_s),
        completion_tokens_per_s=_share(message.completion_tokens, window_s),
        time_to_first_token=_latency(message.time_to_first_token),
        inter_token=_latency(message.inter_token),
        queue=_latency(message.queue),
    )


def _engine(message: load_service_pb2.EngineLoad) -> EngineLoad:
    return EngineLoad(
        is_ready=message.ready,
        model=message.model,
        runner=message.runner,
        device=message.device,
        scheduler=message.scheduler,
        num_here=message.num_here,
        work=_work(message.work) if message.HasField("work") else None,
    )


def _work(message: load_service_pb2.EngineWork) -> EngineWork:
    counted_s = message.counted_ns / _NS
    return EngineWork(
        num_running=message.num_running,
        num_waiting=message.num_waiting,
        num_waiting_tokens=message.num_waiting_tokens,
        num_free_blocks=message.num_free_blocks,
        num_used_blocks=message.num_used_blocks,
        num_cached_blocks=message.num_cached_blocks,
        num_total_blocks=message.num_total_blocks,
        block_size=message.block_size,
        is_draining=message.draining,
        since_last_step_s=message.since_last_step_ns / _NS,
        counted_s=counted_s,
        steps_per_s=_share(message.num_steps, counted_s),
        output_tokens_per_s=_share(message.num_output_tokens, counted_s),
        prompt_tokens_per_s=_share(message.num_prompt_tokens, counted_s),
        cached_share=_share(message.num_cached_prompt_tokens, message.num_prompt_tokens),
        num_preemptions=message.num_preemptions,
    )


def _latency(message: load_service_pb2.Latency) -> Latency:
    return Latency(
        count=message.count,
        p50_s=message.p50_ns / _NS,
        p90_s=message.p90_ns / _NS,
        p99_s=message.p99_ns / _NS,
    )


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0

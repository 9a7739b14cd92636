"""How batches are formed, as the wire tells it: one row per policy."""

from collections.abc import Callable, Mapping

from engine_svc.core.batching import fastest_first
from engine_svc.core.messages import EngineInfo
from engine_svc.room import max_batch_tkv
from steeple.engine.v1 import info_pb2


def geometry_message(info: EngineInfo) -> info_pb2.Geometry:
    """The policy and the rules that it binds requests to; a policy without a row has no rules."""
    geometry = info_pb2.Geometry(scheduler=info.scheduler)
    if (fill := _RULES.get(info.scheduler)) is not None:
        fill(info, geometry)
    return geometry


def _continuous(info: EngineInfo, geometry: info_pb2.Geometry) -> None:
    geometry.continuous.max_num_batched_tokens = info.max_num_batched_tokens


def _static(info: EngineInfo, geometry: info_pb2.Geometry) -> None:
    """The shapes in the order in which they are tried."""
    for shape in fastest_first(info.batching.shapes):
        geometry.static.shapes.add(
            prompt_len=shape.prompt_len,
            new_tokens=shape.new_tokens,
            batch_size=shape.batch_size,
        )


def _spyre_continuous(info: EngineInfo, geometry: info_pb2.Geometry) -> None:
    rules = geometry.spyre_continuous
    rules.max_batch_tkv = max_batch_tkv(info)
    rules.join = info.batching.join.value
    rules.min_decode_rows = info.batching.min_decode_rows


def _spyre_chunked(info: EngineInfo, geometry: info_pb2.Geometry) -> None:
    rules, batching = geometry.spyre_chunked, info.batching
    rules.chunk_len = info.max_num_batched_tokens
    rules.max_batch_tkv = max_batch_tkv(info)
    rules.interleave = batching.interleave
    rules.over_limit = batching.over_limit.value
    rules.pause_order = batching.pause_order.value
    rules.prefix_caching = batching.prefix_caching
    rules.min_decode_rows = batching.min_decode_rows


_RULES: Mapping[str, Callable[[EngineInfo, info_pb2.Geometry], None]] = {
    "continuous": _continuous,
    "static": _static,
    "spyre_continuous": _spyre_continuous,
    "spyre_chunked": _spyre_chunked,
}

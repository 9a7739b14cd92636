"""What the front and the core say to each other, and how it becomes bytes.

With the values that they carry, the only part of the core that the front knows. One message per
step each way: what gathers while a step runs travels together.
"""

from collections.abc import Sequence
from typing import Literal

import msgspec

from engine_svc.core.batching import BatchingOptions
from engine_svc.core.outputs import RequestOutput, SchedulerLoad
from engine_svc.core.params import RequestId, SamplingParams, TokenId
from engine_svc.core.request_spec import RequestSpec
from engine_svc.core.runner.fake_options import FakeOptions

DEFAULT_MAX_FAULTY_REQUESTS = 16


class CoreConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What a core serves and within which bounds. None = decided at start-up."""

    model_dir: str
    runner: str
    dtype: str = "auto"
    device: str = "cpu"
    num_threads: int = 1
    scheduler: str = "continuous"
    block_size: int | None = None
    kv_cache_bytes: int | None = None
    kv_cache_share: float | None = None
    num_blocks: int | None = None
    max_model_len: int | None = None
    max_num_seqs: int = 32
    max_num_batched_tokens: int = 512
    batching: BatchingOptions = BatchingOptions()
    max_faulty_requests: int = DEFAULT_MAX_FAULTY_REQUESTS
    """So many that fail within a minute by the core's fault end it."""
    fake: FakeOptions = FakeOptions()
    log_level: str = "info"
    log_format: Literal["console", "json"] = "console"


class Start(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Front → core: the first message; load this."""

    config: CoreConfig


class AddRequest(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Front → core: a request that the front has checked."""

    spec: RequestSpec


class AbortRequests(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Front → core: end these; unknown ones are fine."""

    request_ids: tuple[RequestId, ...]


class Ping(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Front → core: say at once that you are there."""


class Stop(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Front → core: end the process."""


Command = Start | AddRequest | AbortRequests | Ping | Stop


class Loading(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Core → front: how far start-up is."""

    stage: str
    done: int
    total: int


class EngineInfo(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """What a ready core serves; see engine/v1/info.proto."""

    architecture: str
    model_fingerprint: str
    tokenizer_fingerprint: str
    vocab_size: int
    max_model_len: int
    dtype: str
    device: str
    runner: str
    scheduler: str
    max_num_seqs: int
    max_num_batched_tokens: int
    batching: BatchingOptions
    default_sampling: SamplingParams
    eos_token_ids: tuple[TokenId, ...]
    block_size: int
    num_blocks: int
    weights_bytes: int
    kv_cache_bytes: int
    load_s: float = 0.0
    """From the start of loading to readiness."""


class Ready(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Core → front: requests can come."""

    info: EngineInfo
    longest_step_s: float = 0.0
    """What the warm-up's step took: no less must be allowed to a later one."""


class Failed(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Core → front: start-up is impossible; the process ends with status 2."""

    message: str


class StepOutputs(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Core → front: what a step, or the messages before it, did."""

    outputs: tuple[RequestOutput, ...]
    load: SchedulerLoad
    num_steps: int
    num_output_tokens: int
    num_obeyed: int
    """Commands since the start, without the first: what came later is not in `is_idle`."""
    is_idle: bool
    """There is nothing to do: the next word comes after the next command."""
    step_s: float = 0.0
    """How long the step took; 0 where none ran."""


Event = Loading | Ready | Failed | StepOutputs

_encoder = msgspec.msgpack.Encoder()
_commands = msgspec.msgpack.Decoder(list[Command])
_events = msgspec.msgpack.Decoder(list[Event])


def encode(messages: Sequence[Command] | Sequence[Event]) -> bytes:
    """Messages as bytes."""
    return _encoder.encode(messages)


def decode_commands(data: bytes) -> list[Command]:
    """What the front sent.

    Raises:
        msgspec.DecodeError: the bytes are not commands.
    """
    return _commands.decode(data)


def decode_events(data: bytes) -> list[Event]:
    """What the core sent.

    Raises:
        msgspec.DecodeError: the bytes are not events.
    """
    return _events.decode(data)

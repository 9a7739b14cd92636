"""What the engine service can be told."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Annotated, Literal, Self

import msgspec
from pydantic import Field, ValidationInfo, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from engine_svc.core.batching import BatchingOptions
from engine_svc.core.messages import DEFAULT_MAX_FAULTY_REQUESTS, CoreConfig
from engine_svc.core.runner.fake_options import FakeFailure, FakeOptions, FakeReply
from engine_svc.old_environment import read_old_environment
from engine_svc.policy_options import READ_BY, check_read, parse_shapes
from steeple_rpc.old_settings import OldSettings
from steeple_rpc.quantities import Quantity
from steeple_rpc.settings import ServiceSettings

DEFAULT_NUM_SEQS = 32
DEFAULT_NUM_BATCHED_TOKENS = 512
# Names that vLLM takes, too.
_DTYPES = {"half": "float16", "float": "float32"}
_AS_LONG_AS_FITS = ("auto", "-1", -1)
_MEMORY = ("kv_cache_bytes", "kv_cache_share", "num_blocks")

Count = Annotated[Quantity, Field(ge=1, le=1 << 20)]
Volume = Annotated[Quantity, Field(ge=1, le=(1 << 32) - 1)]
Bytes = Annotated[Quantity, Field(ge=1, le=(1 << 63) - 1)]
Share = Annotated[float, Field(gt=0, le=0.95)]


class EngineSettings(ServiceSettings):
    """Settings of the engine service; environment names start with STEEPLE_ENGINE_."""

    model_config = SettingsConfigDict(
        env_prefix="STEEPLE_ENGINE_", cli_prog_name="python -m engine_svc", populate_by_name=True
    )

    listen: str = Field(default="127.0.0.1:50053", description="where to serve")
    max_message_bytes: Quantity = Field(
        default=64 << 20, ge=1 << 10, le=1 << 30, description="largest message accepted"
    )
    model: str = Field(description="the model's directory")
    served_model_name: str | None = Field(
        default=None, description="name on the wire; default: the directory's"
    )
    runner: Literal["fms", "fake"] = Field(default="fms", description="what runs the model")
    # Which names there are is known to the core, which refuses others when it starts.
    scheduler: str = Field(
        default="continuous",
        description="batching policy: continuous, static, spyre_continuous or spyre_chunked",
    )
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        default="auto", description="number format of weights and KV cache"
    )
    device: str = Field(default="cpu", description="torch device")
    num_threads: Count | None = Field(
        default=None, description="compute threads; default: cores - 1"
    )
    # What only some policies read comes after the policy: it is checked against it, and unset
    # means the default of whoever reads it.
    max_model_len: Count | None = Field(
        default=None, description="longest prompt + output; default: what model and memory allow"
    )
    max_num_seqs: Count | None = Field(
        default=None, description=f"most requests in one step; default: {DEFAULT_NUM_SEQS}"
    )
    max_num_waiting: Count | None = Field(
        default=None, description="most requests waiting; default: 4 x max_num_seqs"
    )
    max_num_batched_tokens: Count | None = Field(
        default=None,
        description="most tokens in one step; of spyre_chunked the length of a chunk;"
        f" default: {DEFAULT_NUM_BATCHED_TOKENS}",
    )
    warmup_shapes: str | None = Field(
        default=None, description="static: its batches, prompt:new:batch, as 64:20:4,128:20:2"
    )
    join: Literal["wait", "shift"] | None = Field(
        default=None,
        description="spyre_continuous: what a prompt longer than the batch does; default: shift",
    )
    max_batch_tkv: Volume | None = Field(
        default=None,
        description="spyre_*: most of rows x KV length; default: max_num_seqs x max_model_len",
    )
    min_decode_rows: Count | None = Field(
        default=None, description="spyre_*: fewest rows of a decode, 2 for FP8; default: 1"
    )
    interleave: bool | None = Field(
        default=None, description="spyre_chunked: decode between two chunks; default: yes"
    )
    over_limit: Literal["pause", "look-ahead"] | None = Field(
        default=None,
        description="spyre_chunked: how rows x KV length stays below max_batch_tkv; default: pause",
    )
    pause_order: Literal["fewest-first", "most-first"] | None = Field(
        default=None,
        description="spyre_chunked: who decodes first after a pause; default: fewest-first",
    )
    prefix_caching: bool | None = Field(
        default=None,
        description="continuous, spyre_chunked: reuse blocks of equal prompts; default: yes",
    )
    default_max_tokens: Count = Field(
        default=1024, description="cap on max_tokens where a request leaves it unset"
    )
    block_size: Count | None = Field(
        default=None, description="tokens per KV block; default: what the policy needs, else 16"
    )
    kv_cache_bytes: Bytes | None = Field(default=None, description="memory of the KV cache")
    kv_cache_share: Share | None = Field(
        default=None, description="the same as a share of the memory that is free"
    )
    num_blocks: Volume | None = Field(default=None, description="the same as a number of blocks")
    startup_timeout_s: float = Field(
        default=600.0, gt=0, description="seconds that loading and warm-up may take"
    )
    step_deadline_s: float = Field(
        default=60.0,
        gt=0,
        description="replace a core that owes an answer and is silent for so many seconds; four"
        " times the slowest of its recent steps are always allowed",
    )
    max_faulty_requests: Count = Field(
        default=DEFAULT_MAX_FAULTY_REQUESTS,
        description="replace the core when so many requests fail within a minute by its fault",
    )
    fake_reply: FakeReply = Field(default=FakeReply.ECHO, description="what the fake runner says")
    fake_step_ms: float = Field(default=0.0, ge=0, description="how long its steps take")
    fake_fault_token_id: int | None = Field(
        default=None, description="a prompt token whose request gets non-finite logits"
    )
    fake_raise_token_id: int | None = Field(
        default=None, description="a prompt token that makes the step fail"
    )
    fake_failure: FakeFailure = Field(
        default=FakeFailure.RAISE, description="how a step fails: raise, hang or crash"
    )
    fake_failure_step: int | None = Field(
        default=None, ge=0, description="the step that fails; 0 = the warm-up"
    )
    fake_failure_lasts: bool = Field(default=False, description="all later steps fail too")

    @classmethod
    def old_settings(cls, environ: Mapping[str, str]) -> OldSettings:
        """What variables of vllm-spyre and sendnn-inference come to."""
        return read_old_environment(environ, str(cls.model_config["env_prefix"]))

    @field_validator("dtype", mode="before")
    @classmethod
    def _known_dtype(cls, value: object) -> object:
        return _DTYPES.get(value, value) if isinstance(value, str) else value

    @field_validator("max_model_len", mode="before")
    @classmethod
    def _unset_if_auto(cls, value: object) -> object:
        return None if value in _AS_LONG_AS_FITS else value

    @field_validator(*READ_BY)
    @classmethod
    def _check_read(cls, value: object, info: ValidationInfo) -> object:
        """An option that the policy ignores is a mistake, not a wish."""
        if value is not None and info.field_name and "scheduler" in info.data:
            check_read(info.field_name, info.data["scheduler"])
        return value

    @field_validator("warmup_shapes")
    @classmethod
    def _check_shapes(cls, value: str | None) -> str | None:
        if value is not None:
            parse_shapes(value)
        return value

    @model_validator(mode="after")
    def _check_memory(self) -> Self:
        given = [name for name in _MEMORY if getattr(self, name) is not None]
        if len(given) > 1:
            flags = " and ".join(f"--{name.replace('_', '-')}" for name in given)
            raise ValueError(f"{flags} size the same KV cache: give one of them")
        return self

    @model_validator(mode="after")
    def _check_budget(self) -> Self:
        if self.scheduler == "continuous" and self.num_batched_tokens < self.num_seqs:
            raise ValueError(
                f"max_num_batched_tokens {self.num_batched_tokens} is below max_num_seqs"
                f" {self.num_seqs}: every running request needs a token per step"
            )
        return self

    @model_validator(mode="after")
    def _check_pauses(self) -> Self:
        if self.over_limit == "look-ahead" and self.pause_order is not None:
            raise ValueError("pause_order is not read where over_limit is look-ahead")
        return self

    @property
    def num_seqs(self) -> int:
        """Most requests in one step; warm-up shapes say so themselves."""
        if self.warmup_shapes is not None:
            return max(shape.batch_size for shape in parse_shapes(self.warmup_shapes))
        return self.max_num_seqs or DEFAULT_NUM_SEQS

    @property
    def num_batched_tokens(self) -> int:
        """Most tokens in one step, or the length of a chunk."""
        return self.max_num_batched_tokens or DEFAULT_NUM_BATCHED_TOKENS

    @property
    def batching(self) -> BatchingOptions:
        """What was told to the policy; its own defaults otherwise."""
        names = READ_BY.keys() & {field.name for field in fields(BatchingOptions)}
        given = {name: value for name in names if (value := getattr(self, name)) is not None}
        if self.warmup_shapes is not None:
            given["shapes"] = parse_shapes(self.warmup_shapes)
        return msgspec.convert(given, BatchingOptions)

    @property
    def model_name(self) -> str:
        """The served name."""
        return self.served_model_name or self.model.rstrip("/").rpartition("/")[2]

    @property
    def num_waiting_limit(self) -> int:
        """Most requests waiting."""
        return self.max_num_waiting or 4 * self.num_seqs

    def core_config(self, num_threads: int) -> CoreConfig:
        """The part that the core needs."""
        return CoreConfig(
            model_dir=self.model,
            runner=self.runner,
            dtype=self.dtype,
            device=self.device,
            num_threads=num_threads,
            scheduler=self.scheduler,
            block_size=self.block_size,
            kv_cache_bytes=self.kv_cache_bytes,
            kv_cache_share=self.kv_cache_share,
            num_blocks=self.num_blocks,
            max_model_len=self.max_model_len,
            max_num_seqs=self.num_seqs,
            max_num_batched_tokens=self.num_batched_tokens,
            batching=self.batching,
            max_faulty_requests=self.max_faulty_requests,
            fake=FakeOptions(
                reply=self.fake_reply,
                step_s=self.fake_step_ms / 1e3,
                fault_token_id=self.fake_fault_token_id,
                raise_token_id=self.fake_raise_token_id,
                failure=self.fake_failure,
                failure_step=self.fake_failure_step,
                failure_lasts=self.fake_failure_lasts,
            ),
            log_level=self.log_level,
            log_format=self.log_format,
        )

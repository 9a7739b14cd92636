"""What the engine service can be told."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic_settings import SettingsConfigDict

from engine_svc.core.messages import CoreConfig
from engine_svc.core.runner.fake_options import FakeOptions, FakeReply
from steeple_rpc.settings import ServiceSettings

Count = Annotated[int, Field(ge=1, le=1 << 20)]
Share = Annotated[float, Field(gt=0, le=0.95)]


class EngineSettings(ServiceSettings):
    """Settings of the engine service; environment names start with STEEPLE_ENGINE_."""

    model_config = SettingsConfigDict(env_prefix="STEEPLE_ENGINE_", populate_by_name=True)

    listen: str = Field(default="127.0.0.1:50053", description="where to serve")
    max_message_bytes: int = Field(
        default=64 << 20, ge=1 << 10, le=1 << 30, description="largest message accepted"
    )
    model: str = Field(description="the model's directory")
    served_model_name: str | None = Field(
        default=None, description="name on the wire; default: the directory's"
    )
    runner: Literal["fms", "fake"] = Field(default="fms", description="what runs the model")
    scheduler: Literal["continuous"] = Field(default="continuous", description="batching policy")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        default="auto", description="number format of weights and KV cache"
    )
    device: str = Field(default="cpu", description="torch device")
    num_threads: Count | None = Field(
        default=None, description="compute threads; default: cores - 1"
    )
    max_model_len: Count | None = Field(
        default=None, description="longest prompt + output; default: what model and memory allow"
    )
    max_num_seqs: Count = Field(default=32, description="most requests in one step")
    max_num_waiting: Count | None = Field(
        default=None, description="most requests waiting; default: 4 x max_num_seqs"
    )
    max_num_batched_tokens: Count = Field(default=512, description="most tokens in one step")
    default_max_tokens: Count = Field(
        default=1024, description="cap on max_tokens where a request leaves it unset"
    )
    block_size: Count | None = Field(
        default=None, description="tokens per KV block; default: what the policy needs, else 16"
    )
    kv_cache_bytes: int | None = Field(default=None, ge=1, description="memory of the KV cache")
    kv_cache_share: Share | None = Field(
        default=None, description="the same as a share of the memory that is free"
    )
    startup_timeout_s: float = Field(
        default=600.0, gt=0, description="seconds that loading and warm-up may take"
    )
    fake_reply: FakeReply = Field(default=FakeReply.ECHO, description="what the fake runner says")
    fake_step_ms: float = Field(default=0.0, ge=0, description="how long its steps take")
    fake_fault_token_id: int | None = Field(
        default=None, description="a prompt token whose request gets non-finite logits"
    )
    fake_raise_token_id: int | None = Field(
        default=None, description="a prompt token that makes the step raise"
    )

    @model_validator(mode="after")
    def _check_budget(self) -> Self:
        if self.max_num_batched_tokens < self.max_num_seqs:
            raise ValueError(
                f"max_num_batched_tokens {self.max_num_batched_tokens} is below max_num_seqs"
                f" {self.max_num_seqs}: every running request needs a token per step"
            )
        return self

    @property
    def model_name(self) -> str:
        """The served name."""
        return self.served_model_name or self.model.rstrip("/").rpartition("/")[2]

    @property
    def num_waiting_limit(self) -> int:
        """Most requests waiting."""
        return self.max_num_waiting or 4 * self.max_num_seqs

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
            max_model_len=self.max_model_len,
            max_num_seqs=self.max_num_seqs,
            max_num_batched_tokens=self.max_num_batched_tokens,
            fake=FakeOptions(
                reply=self.fake_reply,
                step_s=self.fake_step_ms / 1e3,
                fault_token_id=self.fake_fault_token_id,
                raise_token_id=self.fake_raise_token_id,
            ),
            log_level=self.log_level,
            log_format=self.log_format,
        )

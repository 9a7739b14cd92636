"""What the gateway can be told."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from steeple_rpc.settings import Seconds, ServiceSettings


class GatewaySettings(ServiceSettings):
    """Settings of the gateway; environment names start with STEEPLE_GATEWAY_."""

    model_config = SettingsConfigDict(env_prefix="STEEPLE_GATEWAY_")

    listen: str = Field(default="127.0.0.1:50051", description="where to serve")
    tokenizer: str = Field(
        default="127.0.0.1:50052", description="the tokenizer service: HOST:PORT or unix:PATH"
    )
    engine: list[str] = Field(
        default=["127.0.0.1:50053"],
        min_length=1,
        description="an engine service; repeat for more",
    )
    max_request_s: float = Field(
        default=3600.0, gt=0, description="longest that any request may take, in seconds"
    )
    token_hashes: Path | None = Field(
        default=None,
        description="file of token hashes (steeple token new); then every caller needs a token",
    )
    max_share: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="part of a model's places that one principal may hold",
    )
    max_takeovers: int = Field(
        default=2, ge=0, le=100, description="lost engines after which a request fails too"
    )
    takeover_timeout_s: Seconds = Field(
        default=30.0, description="seconds that a request waits for another engine or tokenizer"
    )

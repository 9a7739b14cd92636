"""What the gateway can be told."""

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator
from pydantic_settings import SettingsConfigDict

from steeple_rpc.settings import Seconds, ServiceSettings
from steeple_rpc.tls.channel_tls import ChannelTls


class GatewaySettings(ServiceSettings):
    """Settings of the gateway; environment names start with STEEPLE_GATEWAY_."""

    model_config = SettingsConfigDict(
        env_prefix="STEEPLE_GATEWAY_", cli_prog_name="python -m gateway"
    )

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
        default=3600.0,
        gt=0,
        # Far beyond it the library takes deadlines for ones that are over.
        le=365 * 86_400,
        description="longest that any request may take, in seconds",
    )
    token_hashes: Path | None = Field(
        default=None,
        description="file of token hashes (steeple token new); then every caller needs a token",
    )
    upstream_ca: Path | None = Field(
        default=None,
        description="call the upstream services by TLS; this authority vouches for them (PEM)",
    )
    upstream_cert: Path | None = Field(
        default=None, description="certificate chain that the gateway shows to them (PEM)"
    )
    upstream_key: Path | None = Field(default=None, description="its private key (PEM)")
    max_share: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="part of a model's places that one principal may hold",
    )
    max_takeovers: int = Field(
        default=2, ge=0, le=100, description="lost engines after which a request fails too"
    )
    slow_client_s: float = Field(
        default=30.0,
        gt=0,
        le=3600,
        description="seconds that a message may wait for its caller to read it",
    )
    upstream_stall_s: float = Field(
        default=10.0,
        gt=0,
        le=3600,
        description="seconds without an answer after which an engine or tokenizer counts as gone",
    )
    takeover_timeout_s: Seconds = Field(
        default=30.0, description="seconds that a request waits for another engine or tokenizer"
    )

    @model_validator(mode="after")
    def _check_callers(self) -> Self:
        if self.max_share < 1 and self.token_hashes is None and self.tls_client_ca is None:
            raise ValueError(
                "--max-share needs --token-hashes or --tls-client-ca: all callers are one otherwise"
            )
        return self

    @model_validator(mode="after")
    def _check_upstream_tls(self) -> Self:
        if (self.upstream_cert is None) != (self.upstream_key is None):
            raise ValueError("--upstream-cert and --upstream-key are given together or not at all")
        if self.upstream_cert is not None and self.upstream_ca is None:
            raise ValueError("--upstream-cert needs --upstream-ca")
        return self

    @property
    def upstream_tls(self) -> ChannelTls | None:
        """How the upstream services are called; None = plaintext."""
        if self.upstream_ca is None:
            return None
        return ChannelTls(ca=self.upstream_ca, cert=self.upstream_cert, key=self.upstream_key)

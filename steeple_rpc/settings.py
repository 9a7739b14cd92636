"""Settings: one frozen class per service; command line > environment > file; unknown is wrong."""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import Field, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    CliApp,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from steeple_rpc.config_file import CONFIG_VARIABLE, NOT_IN_FILE, Table, named_by, read_table
from steeple_rpc.nearest import hint
from steeple_rpc.old_settings import OldSettings
from steeple_rpc.quantities import Quantity
from steeple_rpc.refused import SettingRefused
from steeple_rpc.setting_faults import Given, faults_of
from steeple_rpc.tls.server_tls import ServerTlsFiles
from steeple_rpc.vllm_flags import as_typed, translated

USAGE_ERROR = 2
OTLP_VARIABLE = "OTEL_EXPORTER_OTLP_ENDPOINT"

S = TypeVar("S", bound="ServiceSettings")
Seconds = Annotated[float, Field(ge=0, le=86_400)]


def _otlp_endpoint() -> str | None:
    return os.environ.get(OTLP_VARIABLE) or None


class ServiceSettings(BaseSettings):
    """What every service can be told. Subclasses set `env_prefix`: STEEPLE_<SERVICE>_.

    In the file, a service's settings are in the table of its name, in lower case.
    """

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        cli_kebab_case=True,
        cli_implicit_flags=True,
        cli_hide_none_type=True,
        cli_avoid_json=True,
        nested_model_default_partial_update=True,
    )

    config: Path | None = Field(
        default=None,
        description=f"TOML file with a table per service; default: what {CONFIG_VARIABLE} says",
    )
    print_config: bool = Field(
        default=False, description="print every setting as TOML, and end: [SERVICE] of such a file"
    )
    listen: str = Field(description="where to serve: HOST:PORT or unix:PATH")
    insecure_bind: bool = Field(
        default=False, description="allow plaintext beyond loopback (a private network)"
    )
    metrics_listen: str | None = Field(
        default=None, description="where to serve metrics over HTTP: HOST:PORT; default: nowhere"
    )
    tls_cert: Path | None = Field(
        default=None, description="serve TLS with this certificate chain (PEM)"
    )
    tls_key: Path | None = Field(default=None, description="its private key (PEM)")
    tls_client_ca: Path | None = Field(
        default=None, description="let in only clients with a certificate of this authority (PEM)"
    )
    otlp_endpoint: str | None = Field(
        default_factory=_otlp_endpoint,
        pattern=r"^https?://[^/\s]+/?$",
        description="where to send traces: http(s)://HOST:PORT of an OTLP receiver over gRPC;"
        f" default: what {OTLP_VARIABLE} says, else nowhere",
    )
    reflection: bool | None = Field(
        default=None, description="serve gRPC reflection; default: on loopback only"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="least severe log line"
    )
    log_format: Literal["console", "json"] = Field(default="console", description="log lines as")
    drain_delay_s: Seconds = Field(
        default=0.0, description="seconds between NOT_SERVING and refusing, for balancers"
    )
    grace_s: Seconds = Field(
        default=30.0, description="seconds that running requests get when the service stops"
    )
    stop_on_stdin_eof: bool = Field(
        default=False, description="stop when standard input ends (for supervisors)"
    )
    max_message_bytes: Quantity = Field(
        default=4 << 20, ge=1 << 10, le=1 << 30, description="largest message accepted"
    )

    @model_validator(mode="after")
    def _check_tls(self) -> Self:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("--tls-cert and --tls-key are given together or not at all")
        if self.tls_client_ca is not None and self.tls_cert is None:
            raise ValueError("--tls-client-ca needs --tls-cert and --tls-key")
        return self

    @property
    def tls(self) -> ServerTlsFiles | None:
        """The files of TLS; None = plaintext."""
        if self.tls_cert is None or self.tls_key is None:
            return None
        return ServerTlsFiles(cert=self.tls_cert, key=self.tls_key, client_ca=self.tls_client_ca)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic's signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - likewise
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Rank the sources: arguments, environment, old names in it, then the file."""
        table = _file_table(settings_cls, _config_path(settings_cls, init_settings()))
        old = cls.old_settings(os.environ)
        older = InitSettingsSource(settings_cls, dict(old.values))
        return init_settings, env_settings, older, InitSettingsSource(settings_cls, table)

    @classmethod
    def old_settings(cls, environ: Mapping[str, str]) -> OldSettings:  # noqa: ARG003 - others do
        """What variables of an older system come to; they rank after our own.

        Raises:
            SettingRefused: they contradict each other or our own.
        """
        return OldSettings()


def table_of(settings: type[BaseSettings]) -> str:
    """The name of the service's table in the file."""
    return _prefix(settings).split("_")[1].lower()


def unknown_variables(settings: type[BaseSettings], environ: Mapping[str, str]) -> list[str]:
    """Environment variables that carry the class's prefix and name none of its fields."""
    prefix = _prefix(settings)
    known = _variables(settings)
    return sorted(key for key in environ if key.startswith(prefix) and key not in known)


def _variables(settings: type[BaseSettings]) -> set[str]:
    return {(_prefix(settings) + name).upper() for name in settings.model_fields}


def _prefix(settings: type[BaseSettings]) -> str:
    return str(settings.model_config.get("env_prefix", ""))


def _config_path(settings: type[BaseSettings], arguments: Mapping[str, Any]) -> Path | None:
    """The file that an argument, the service's own variable or everybody's names."""
    variables = (f"{_prefix(settings)}CONFIG", CONFIG_VARIABLE)
    named = arguments.get("config") or next(filter(None, map(os.environ.get, variables)), None)
    return Path(named) if named else None


def _file_table(settings: type[BaseSettings], path: Path | None) -> Table:
    """The service's table of the file; empty without one."""
    known = settings.model_fields.keys() - NOT_IN_FILE
    return {} if path is None else read_table(path, table_of(settings), known)


def load_settings(settings: type[S], argv: list[str]) -> S:
    """Read and check all settings of a service.

    Args:
        settings: the service's class.
        argv: the command line without the program's name.

    Raises:
        SystemExit: something is wrong; one line per fault is on stderr, the status is 2.
    """
    faults = [
        f"unknown variable {name}{hint(name, _variables(settings), prefix=_prefix(settings))}"
        for name in unknown_variables(settings, os.environ)
    ]
    if not faults:
        try:
            arguments = translated(argv, own=_flags(settings))
            return CliApp.run(settings, cli_args=arguments, config=named_by(arguments))
        except (ValidationError, SettingsError) as error:
            told = faults_of(error, _given(settings, arguments))
            faults = [as_typed(line, argv) for line in told]
        except SettingRefused as error:
            faults = [str(error)]
    for fault in faults:
        sys.stderr.write(f"error: {fault}\n")
    raise SystemExit(USAGE_ERROR)


def _given(settings: type[ServiceSettings], arguments: Sequence[str]) -> Given:
    """What the settings were read from just now, and could be."""
    path = _config_path(settings, {"config": named_by(arguments)})
    return Given(
        arguments=arguments,
        variables=os.environ.keys(),
        prefix=_prefix(settings),
        old=settings.old_settings(os.environ).origins,
        file=path,
        table=table_of(settings),
        keys=_file_table(settings, path),
    )


def _flags(settings: type[BaseSettings]) -> set[str]:
    return {f"--{name.replace('_', '-')}" for name in settings.model_fields}

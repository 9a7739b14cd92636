"""`steeple serve`: everything with one command."""

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import typer

from steeple_cli import serve_options as given
from steeple_cli.child import ChildRefused
from steeple_cli.console import ServeConsole
from steeple_cli.exits import USAGE_ERROR
from steeple_cli.model_path import ModelNotFound, find_model, name_of
from steeple_cli.supervisor import ServePlan, Supervisor
from steeple_rpc.errors import ServiceError

_DEMO = "demo"


def serve(  # noqa: PLR0913 - one parameter per option of the command
    *,
    model: given.Model = None,
    served_model_name: given.ServedModelName = None,
    dtype: given.Dtype = None,
    runner: given.Runner = None,
    max_model_len: given.MaxModelLen = None,
    max_num_seqs: given.MaxNumSeqs = None,
    max_num_batched_tokens: given.MaxNumBatchedTokens = None,
    default_max_tokens: given.DefaultMaxTokens = None,
    scheduler: given.Scheduler = None,
    warmup_shapes: given.WarmupShapes = None,
    join: given.Join = None,
    max_batch_tkv: given.MaxBatchTkv = None,
    min_decode_rows: given.MinDecodeRows = None,
    interleave: given.Interleave = None,
    over_limit: given.OverLimit = None,
    pause_order: given.PauseOrder = None,
    prefix_caching: given.PrefixCaching = None,
    block_size: given.BlockSize = None,
    kv_cache_bytes: given.KvCacheBytes = None,
    kv_cache_share: given.KvCacheShare = None,
    device: given.Device = None,
    num_threads: given.NumThreads = None,
    host: given.Host = "127.0.0.1",
    port: given.Port = 50051,
    insecure_bind: given.InsecureBind = False,
    tls_cert: given.TlsCert = None,
    tls_key: given.TlsKey = None,
    tls_client_ca: given.TlsClientCa = None,
    token_hashes: given.TokenHashes = None,
    max_share: given.MaxShare = None,
    metrics_port: given.MetricsPort = None,
    otlp_endpoint: given.OtlpEndpoint = None,
    grace: given.Grace = 30.0,
    startup_timeout: given.StartupTimeout = 600.0,
    log_level: given.LogLevel = given.Level.WARNING,
    log_json: given.LogJson = False,
) -> None:
    """Start gateway, tokenizer service and engine service; serve until Ctrl-C or SIGTERM."""
    engine = _arguments(
        runner=runner,
        scheduler=scheduler,
        warmup_shapes=warmup_shapes,
        join=join,
        max_batch_tkv=max_batch_tkv,
        min_decode_rows=min_decode_rows,
        interleave=interleave,
        over_limit=over_limit,
        pause_order=pause_order,
        prefix_caching=prefix_caching,
        device=device,
        dtype=dtype,
        max_model_len=max_model_len,
        max_num_seqs=max_num_seqs,
        max_num_batched_tokens=max_num_batched_tokens,
        default_max_tokens=default_max_tokens,
        block_size=block_size,
        kv_cache_bytes=kv_cache_bytes,
        kv_cache_share=kv_cache_share,
        num_threads=num_threads,
    )
    shared = _arguments(insecure_bind=insecure_bind or None, otlp_endpoint=otlp_endpoint)
    gateway = _arguments(
        tls_cert=tls_cert,
        tls_key=tls_key,
        tls_client_ca=tls_client_ca,
        token_hashes=token_hashes,
        max_share=max_share,
    )
    plan = PlanOptions(
        model=model,
        served_model_name=served_model_name,
        listen=f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
        metrics_port=metrics_port,
        grace_s=grace,
        startup_timeout_s=startup_timeout,
        log_level=log_level.value,
        shared=shared,
        gateway=gateway,
        engine=engine,
    )
    _run(plan, ServeConsole(level=log_level.value, as_json=log_json))


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanOptions:
    """What the command line says; `gateway` and `engine` are their own options."""

    model: str | None
    served_model_name: str | None
    listen: str
    metrics_port: int | None
    grace_s: float
    startup_timeout_s: float
    log_level: str
    shared: Sequence[str]
    """For every service."""
    gateway: Sequence[str]
    engine: Sequence[str]


def _run(options: PlanOptions, console: ServeConsole) -> None:
    """Serve; a start that is refused is told in one line and ends the process with 2."""
    try:
        asyncio.run(Supervisor(_plan(options), console).run())
    except (ModelNotFound, ChildRefused, ServiceError) as error:
        sys.stderr.write(f"error: {error}\n")
        raise typer.Exit(USAGE_ERROR) from None


def _plan(options: PlanOptions) -> ServePlan:
    directory = find_model(options.model)
    name = _DEMO if options.model is None else name_of(options.model, directory)
    return ServePlan(
        model_dir=directory,
        model_name=options.served_model_name or name,
        listen=options.listen,
        grace_s=options.grace_s,
        startup_timeout_s=options.startup_timeout_s,
        log_level=options.log_level,
        metrics_port=options.metrics_port,
        shared_arguments=options.shared,
        gateway_arguments=options.gateway,
        engine_arguments=options.engine,
    )


def _arguments(**options: object) -> Sequence[str]:
    """Options of a service that were given; it knows the defaults and checks the values."""
    given_ones = ((name.replace("_", "-"), v) for name, v in options.items() if v is not None)
    return [_argument(name, value) for name, value in given_ones]


def _argument(name: str, value: object) -> str:
    if isinstance(value, bool):
        return f"--{name}" if value else f"--no-{name}"
    return f"--{name}={value}"

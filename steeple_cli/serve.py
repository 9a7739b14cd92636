"""`steeple serve`: everything with one command."""

import asyncio
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from steeple_cli.child import USAGE_ERROR, ChildRefused
from steeple_cli.console import ServeConsole
from steeple_cli.model_path import ModelNotFound, find_model
from steeple_cli.supervisor import ServePlan, Supervisor
from steeple_rpc.errors import ServiceError

_DEMO = "demo"


def serve(  # noqa: PLR0913 - one parameter per option of the command
    *,
    model: Annotated[
        str | None, typer.Option(help="directory, or org/name in the hub cache; default: the demo")
    ] = None,
    served_model_name: Annotated[str | None, typer.Option(help="name on the wire")] = None,
    host: Annotated[str, typer.Option(help="where the gateway listens")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="the gateway's port")] = 50051,
    insecure_bind: Annotated[
        bool, typer.Option("--insecure-bind", help="allow plaintext beyond loopback")
    ] = False,
    runner: Annotated[str | None, typer.Option(help="fms or fake")] = None,
    scheduler: Annotated[str | None, typer.Option(help="batching policy")] = None,
    device: Annotated[str | None, typer.Option(help="torch device")] = None,
    dtype: Annotated[str | None, typer.Option(help="auto, float32, bfloat16, float16")] = None,
    max_model_len: Annotated[int | None, typer.Option(help="longest prompt + output")] = None,
    max_num_seqs: Annotated[int | None, typer.Option(help="most requests in one step")] = None,
    max_num_batched_tokens: Annotated[
        int | None, typer.Option(help="most tokens in one step")
    ] = None,
    default_max_tokens: Annotated[
        int | None, typer.Option(help="cap on max_tokens where a request leaves it unset")
    ] = None,
    block_size: Annotated[int | None, typer.Option(help="tokens per KV block")] = None,
    kv_cache_bytes: Annotated[int | None, typer.Option(help="memory of the KV cache")] = None,
    kv_cache_share: Annotated[
        float | None, typer.Option(help="the same as a share of the free memory")
    ] = None,
    num_threads: Annotated[int | None, typer.Option(help="compute threads")] = None,
    grace: Annotated[float, typer.Option(help="seconds for running requests at the end")] = 30.0,
    startup_timeout: Annotated[float, typer.Option(help="seconds until ready at most")] = 600.0,
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error")] = "warning",
    log_json: Annotated[bool, typer.Option("--log-json", help="log lines as JSON")] = False,
) -> None:
    """Start gateway, tokenizer service and engine service; serve until Ctrl-C or SIGTERM."""
    engine = _arguments(
        runner=runner,
        scheduler=scheduler,
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
    try:
        directory = find_model(model)
        plan = ServePlan(
            model_dir=directory,
            model_name=served_model_name or (_DEMO if model is None else directory.name),
            listen=f"{host}:{port}",
            grace_s=grace,
            startup_timeout_s=startup_timeout,
            gateway_arguments=["--insecure-bind"] if insecure_bind else [],
            engine_arguments=engine,
        )
        console = ServeConsole(level=log_level, as_json=log_json)
        asyncio.run(Supervisor(plan, console).run())
    except (ModelNotFound, ChildRefused, ServiceError) as error:
        sys.stderr.write(f"error: {error}\n")
        raise typer.Exit(USAGE_ERROR) from None


def _arguments(**given: object) -> Sequence[str]:
    """Options of the engine that were given; it knows the defaults and checks the values."""
    return [f"--{name.replace('_', '-')}={v}" for name, v in given.items() if v is not None]

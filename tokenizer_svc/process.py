"""The tokenizer service's process: `python -m tokenizer_svc --model NAME=DIR`."""

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import uvloop

from steeple.tokenizer.v1 import tokenizer_service_pb2_grpc
from steeple_rpc.observed import Observed
from steeple_rpc.service_process import ServiceProcess, run_service
from tokenizer_svc.chat.template_pool import TemplatePool
from tokenizer_svc.loader import load_tokenizer
from tokenizer_svc.metrics import TokenizerMetrics
from tokenizer_svc.service import SessionBounds, TokenizerService
from tokenizer_svc.settings import TokenizerSettings
from tokenizer_svc.tokenizer import LoadedTokenizer, TextBounds

SERVICE = "steeple.tokenizer.v1.TokenizerService"


async def serve(
    settings: TokenizerSettings,
    tokenizers: Mapping[str, LoadedTokenizer],
    executor: ThreadPoolExecutor,
    seen: Observed,
) -> None:
    """Serve until told to stop.

    Raises:
        SettingRefused: an address or a file cannot be used.
    """
    metrics = TokenizerMetrics(seen.registry, tokenizers)
    process = ServiceProcess(settings, seen)
    service = TokenizerService(
        tokenizers,
        executor,
        TextBounds(max_tokens=settings.max_prompt_tokens, template_cpu_s=settings.template_cpu_s),
        SessionBounds(ttl_s=settings.session_ttl_s, max_sessions=settings.max_sessions),
        time.monotonic,
        metrics,
    )
    metrics.follow_streams(lambda: service.num_streams, lambda: service.num_sessions)
    tokenizer_service_pb2_grpc.add_TokenizerServiceServicer_to_server(service, process.server)
    await process.open([SERVICE], models=sorted(tokenizers))
    # Each tokenizer has proved itself while it was loaded.
    await process.lifecycle.set_ready(ready=True)
    await process.run(service.run(), on_drain=service.drain)


def _load_and_serve(settings: TokenizerSettings, seen: Observed) -> None:
    with (
        TemplatePool(settings.num_template_workers) as templates,
        ThreadPoolExecutor(settings.num_threads, "tokenizer") as executor,
    ):
        tokenizers = {
            name: load_tokenizer(name, directory, templates.template)
            for name, directory in settings.directories.items()
        }
        uvloop.run(serve(settings, tokenizers, executor, seen))


def run() -> int:
    """Run the service; the exit status."""
    return run_service("tokenizer", TokenizerSettings, _load_and_serve)

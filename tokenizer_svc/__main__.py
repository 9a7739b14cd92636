"""The tokenizer service's process: `python -m tokenizer_svc --model NAME=DIR`."""

import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import uvloop

from steeple.tokenizer.v1 import tokenizer_service_pb2_grpc
from steeple_rpc.lifecycle import Lifecycle
from steeple_rpc.live_calls import LiveCalls
from steeple_rpc.observed import Observed, observed
from steeple_rpc.refused import SettingRefused
from steeple_rpc.server import add_health, add_reflection, bind, make_server
from steeple_rpc.settings import USAGE_ERROR, load_settings
from steeple_rpc.telemetry import configure_logging, logger
from tokenizer_svc.chat.template_pool import TemplatePool
from tokenizer_svc.errors import StartupError
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
    metrics = TokenizerMetrics(seen.registry)
    calls = LiveCalls()
    server = make_server(settings, seen.observers, calls=calls)
    lifecycle = Lifecycle(add_health(server), calls)
    service = TokenizerService(
        tokenizers,
        executor,
        TextBounds(max_tokens=settings.max_prompt_tokens, template_cpu_s=settings.template_cpu_s),
        SessionBounds(ttl_s=settings.session_ttl_s, max_sessions=settings.max_sessions),
        time.monotonic,
        metrics,
    )
    metrics.follow_streams(lambda: service.num_streams, lambda: service.num_sessions)
    tokenizer_service_pb2_grpc.add_TokenizerServiceServicer_to_server(service, server)
    add_reflection(server, settings, [SERVICE])
    await lifecycle.start()
    address = bind(server, settings)
    await server.start()
    logger().info("serving", address=address, models=sorted(tokenizers))
    # Each tokenizer has proved itself while it was loaded.
    await lifecycle.set_ready(ready=True)
    await lifecycle.run(server, service.run(), settings, on_drain=service.drain)


def main() -> int:
    """Run the service; the exit status."""
    settings = load_settings(TokenizerSettings, sys.argv[1:])
    configure_logging(service="tokenizer", level=settings.log_level, form=settings.log_format)
    try:
        with (
            TemplatePool(settings.num_template_workers) as templates,
            observed("tokenizer", settings) as seen,
            ThreadPoolExecutor(settings.num_threads, "tokenizer") as executor,
        ):
            tokenizers = {
                name: load_tokenizer(name, directory, templates.template)
                for name, directory in settings.directories.items()
            }
            uvloop.run(serve(settings, tokenizers, executor, seen))
    except (SettingRefused, StartupError) as error:
        line = " ".join(str(error).split())
        sys.stderr.write(f"error: {line}\n")
        return USAGE_ERROR
    return 0


if __name__ == "__main__":
    sys.exit(main())

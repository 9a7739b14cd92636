"""What grpc's own logger says of callers that leave: the fact that `telemetry.is_news` answers."""

import asyncio
import logging

import grpc
import pytest

from steeple_rpc.telemetry import GRPC_LOGGER, is_news
from tests.support.waiting import LIMIT_S

MESSAGE = b"x" * (1 << 20)


class _Endless(grpc.GenericRpcHandler):
    """Writes until it fails."""

    def service(self, handler_call_details: object) -> "grpc.RpcMethodHandler[bytes, bytes]":
        return grpc.unary_stream_rpc_method_handler(_write)


async def _write(_: bytes, context: "grpc.aio.ServicerContext[bytes, bytes]") -> None:
    while True:
        await context.write(MESSAGE)


async def test_a_caller_that_leaves_in_a_write_is_an_error_to_the_library_and_no_news_to_us(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """If it says nothing any more, or in other words, a filter here is dead."""

    def told() -> list[logging.LogRecord]:
        return [record for record in caplog.records if record.levelno >= logging.ERROR]

    server = grpc.aio.server()
    server.add_generic_rpc_handlers((_Endless(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        # Whether the write's failure or the handler's cancellation comes first is chance.
        async with asyncio.timeout(LIMIT_S):
            while not told():
                await _leave(f"127.0.0.1:{port}")
    finally:
        await server.stop(None)
    assert {record.name for record in told()} == {GRPC_LOGGER}
    assert not any(is_news(record) for record in told())


async def _leave(target: str) -> None:
    """In the middle of a write: with the window full, one waits to be read."""
    async with grpc.aio.insecure_channel(target) as channel:
        method: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream("/x/Y")
        call = method(b"")
        await call.read()
        call.cancel()


def test_other_lines_of_the_library_are_news() -> None:
    line = logging.makeLogRecord({"msg": "Unexpected [%s]", "args": ("OSError",)})
    assert is_news(line)

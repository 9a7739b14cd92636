"""Structured logs: event name first, one line per story, never a prompt or an answer.

Every line of the process comes through here, also those of libraries, of warnings and of what
nobody caught: whatever a value holds, a line stays one line and no terminal obeys it.
"""

import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Literal

import structlog

MAX_VALUE_CHARS = 4096
MAX_EXCEPTION_CHARS = 32_768
GRPC_LOGGER = "grpc._cython.cygrpc"
_CALLER_LEFT = "ExecuteBatchError raised in core by servicer method"
_EXCEPTION = "exception"
_MARGIN = "    | "


def configure_logging(*, service: str, level: str, form: Literal["console", "json"]) -> None:
    """Send every log line of this process to stderr.

    Args:
        service: named in every line.
        level: least severe level that is written; of libraries, warnings at least.
        form: `console` for people, `json` for machines.
    """
    numeric = logging.getLevelName(level.upper())
    first: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: list[structlog.typing.Processor] = [
        structlog.processors.format_exc_info,
        _bounded,
        *_rendering(form),
    ]
    structlog.configure(
        processors=[*first, *last],
        wrapper_class=structlog.make_filtering_bound_logger(numeric),
        # One write per line: the engine and its core share a stream.
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service)
    _take_over_libraries(service, first, last)
    _take_over_crashes()


@contextmanager
def silence() -> Iterator[None]:
    """Let no story of ours be told in the block: who runs it tells all that people need."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        yield
    finally:
        structlog.configure(**before)


def logger() -> structlog.typing.FilteringBoundLogger:
    """This process's logger; cheap, ask for it where it is used."""
    made: structlog.typing.FilteringBoundLogger = structlog.get_logger()
    return made


def printable(text: str) -> str:
    """The text with everything escaped that could end a line or steer a terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _rendering(form: Literal["console", "json"]) -> list[structlog.typing.Processor]:
    if form == "json":
        return [structlog.processors.JSONRenderer()]
    return [_escaped, structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]


def _bounded(
    _: structlog.typing.WrappedLogger, __: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Cut what is too long: a supervisor reads lines into a buffer."""
    for key, value in event.items():
        if isinstance(value, str):
            limit = MAX_EXCEPTION_CHARS if key == _EXCEPTION else MAX_VALUE_CHARS
            if len(value) > limit:
                event[key] = f"{value[:limit]}… ({len(value)} characters)"
    return event


def _escaped(
    _: structlog.typing.WrappedLogger, __: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Escape values; a traceback keeps its lines, in a margin where none looks like a story."""
    for key, value in event.items():
        if isinstance(value, str):
            lines = value.splitlines() if key == _EXCEPTION else [value]
            margin = _MARGIN if key == _EXCEPTION else ""
            event[key] = "\n".join(margin + printable(line) for line in lines)
    return event


def _take_over_libraries(
    service: str,
    first: list[structlog.typing.Processor],
    last: list[structlog.typing.Processor],
) -> None:
    """Let what libraries log, and Python's warnings, be lines like ours."""

    def named(
        _: structlog.typing.WrappedLogger, __: str, event: structlog.typing.EventDict
    ) -> structlog.typing.EventDict:
        # A library's thread knows nothing of what was bound for the process.
        return {"service": service, "logger": event["_record"].name, **event}

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*first, named],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger(GRPC_LOGGER).addFilter(is_news)
    logging.captureWarnings(capture=True)


def is_news(record: logging.LogRecord) -> bool:
    """Whether a line of grpc's logger tells more than that a caller left while it was written to.

    The library calls that an error, with a traceback; the end of the RPC is told by the border.
    """
    return not record.getMessage().startswith(_CALLER_LEFT)


def _take_over_crashes() -> None:
    """Tell what nobody caught as a line too."""

    def tell(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            sys.__excepthook__(kind, error, trace)
            return
        logger().critical("process_failed", exc_info=(kind, error, trace))

    def tell_of_thread(failed: threading.ExceptHookArgs) -> None:
        if failed.exc_value is not None:
            tell(failed.exc_type, failed.exc_value, failed.exc_traceback)

    sys.excepthook = tell
    threading.excepthook = tell_of_thread

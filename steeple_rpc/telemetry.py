"""Structured logs: event name first, one line per story, never a prompt or an answer."""

import logging
import sys
from typing import Literal

import structlog


def configure_logging(*, service: str, level: str, form: Literal["console", "json"]) -> None:
    """Send every log line of this process to stderr.

    Args:
        service: named in every line.
        level: least severe level that is written.
        form: `console` for people, `json` for machines.
    """
    numeric = logging.getLevelName(level.upper())
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if form == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(numeric),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service)
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, force=True)


def logger() -> structlog.typing.FilteringBoundLogger:
    """This process's logger; cheap, ask for it where it is used."""
    made: structlog.typing.FilteringBoundLogger = structlog.get_logger()
    return made

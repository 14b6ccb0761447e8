"""Structured logs on stderr: lines for people on a terminal, JSON everywhere else.

No identifier, key or body is logged above ``debug``: a log is copied to places where an erasure does not reach.
"""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from typing import TextIO, cast

import structlog

from plait.errors import Rejected

# Without local variables: they hold bodies, identifiers and keys.
_PLAIN = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
_LEVELS = ("debug", "info", "warning", "error", "critical")


class _Lossy:
    """A stream that loses lines rather than whoever writes them.

    Standard error often lies on the very disk whose being full is to be told. An error of its own, raised in the thread that
    answers for the log, had left everybody waiting for ever, also once there was room again.
    """

    def __init__(self, to: TextIO) -> None:
        self._to = to

    def write(self, text: str) -> None:
        with suppress(OSError):
            self._to.write(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._to.flush()


class _Handed(logging.Handler):
    """What libraries tell, in the form of our own lines."""

    def emit(self, record: logging.LogRecord) -> None:
        level = record.levelname.lower()
        told = structlog.get_logger()
        getattr(told, level if level in _LEVELS else "warning")(
            "library", logger=record.name, message=record.getMessage(), exc_info=record.exc_info
        )


def configure(level: str = "info") -> None:
    """Set up structlog for this process.

    Raises:
        Rejected: no such level.
    """
    if level not in _LEVELS:
        raise Rejected(
            f"log_level must be one of {', '.join(_LEVELS)}, not {level!r}",
            code="invalid_settings",
            field="log_level",
        )
    # Before any library does so for itself: once one had switched everybody's on, httpx told the addresses that it asks for,
    # and in them whom it asks about.
    logging.basicConfig(handlers=[_Handed()], level=logging.WARNING)
    people = sys.stderr.isatty()
    shown: list[structlog.typing.Processor] = (
        [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
        if people
        else [structlog.processors.ExceptionRenderer(_PLAIN), structlog.processors.JSONRenderer()]
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *shown,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.PrintLoggerFactory(cast(TextIO, _Lossy(sys.stderr))),
        cache_logger_on_first_use=False,
    )

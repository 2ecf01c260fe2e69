"""The log of a service, on standard error: plain lines on a terminal, and JSON elsewhere."""

import logging.config
import sys
from typing import Final

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from pets.telemetry.request_context import request_id, trace_id

_LOGGERS: Final = ("pets", "uvicorn", "asyncio", "py.warnings")


def set_up_log(level: str) -> None:
    """Write all messages of this level or a higher one to standard error from now on."""
    logging.captureWarnings(capture=True)
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"lines": {"()": _formatter}},
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "lines"}},
            "root": {"handlers": ["stderr"], "level": "WARNING"},
            "loggers": {name: {"level": level.upper()} for name in _LOGGERS},
        }
    )


def _formatter() -> logging.Formatter:
    is_for_people = sys.stderr.isatty()
    renderers: list[Processor]
    if is_for_people:
        # The default shows the values of variables: bodies, keys and passwords.
        plain = structlog.dev.plain_traceback
        renderers = [structlog.dev.ConsoleRenderer(exception_formatter=plain)]
    else:
        renderers = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            _add_facts,
        ],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
    )


def _add_facts(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Add the ids of the request that this task answers, and the facts that the line has."""
    record = event["_record"]
    ids = {"request_id": request_id.get(), "trace_id": trace_id()}
    facts = ids | getattr(record, "facts", {})
    event.update({name: value for name, value in facts.items() if value != ""})
    return event

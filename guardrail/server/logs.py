"""Log lines as JSON objects, one a line, on standard error."""

from __future__ import annotations

import asyncio
import logging
import sys
from datetime import UTC, datetime

import msgspec

_encode = msgspec.json.Encoder().encode


class JsonFormatter(logging.Formatter):
    """`{"time", "level", "logger", "event", ...}` and whatever the record's `fields` hold."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return _encode(line).decode()


def log_to_stderr() -> None:
    """Send this program's log lines, and uvicorn's warnings, to standard error."""
    # What no line of ours shows need not be found out for each (logging HOWTO, "Optimization").
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("guardrail").setLevel(logging.INFO)
    logging.getLogger("uvicorn.error").addFilter(_is_news)


def _is_news(record: logging.LogRecord) -> bool:
    """False for a request cut off at shutdown: its own line says so already, and a traceback would say that something broke."""
    return record.exc_info is None or record.exc_info[0] is not asyncio.CancelledError

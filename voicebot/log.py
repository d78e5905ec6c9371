"""Logging: structlog, static snake_case events, key=value. Personal data goes only under keys that start
with `pii_`, which are masked unless `debug` is on; secrets are never logged."""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


class _Stderr:
    """Writes lines to whatever standard error is at that moment. A log that cannot be written costs no call: the
    line is lost."""

    def __init__(self, *_: Any) -> None:
        pass

    def msg(self, message: str) -> None:
        try:
            print(message, file=sys.stderr, flush=True)
        except (OSError, ValueError):  # a full disk, a pipe nobody reads, a stream that was closed
            pass

    debug = info = warning = error = exception = critical = msg


def mask_personal(_logger: Any, _name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace the value of every `pii_` key by its length."""
    for key in event:
        if key.startswith("pii_"):
            event[key] = f"<{len(str(event[key]))} characters>"
    return event


def configure(format: str = "auto", level: str = "info") -> None:
    """Set up logging for the process. `format`: auto, console or json."""
    as_json = format == "json" or (format == "auto" and not sys.stderr.isatty())
    renderer: Any = structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            mask_personal,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=_Stderr,
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=_LEVELS["warning"], stream=sys.stderr, format="%(name)s %(levelname)s %(message)s")


def get(name: str) -> Any:
    """A logger whose events carry `source=name`."""
    return structlog.get_logger(source=name)

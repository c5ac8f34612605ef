"""Structured logs on stderr: one line an event, for people by default, as JSON on request.

What libraries say through ``logging`` (gRPC, asyncio) comes out in the same form.
"""

from __future__ import annotations

import datetime
import json
import logging
import sys
from collections.abc import MutableMapping
from typing import Any, Literal, TextIO

import structlog

from kubelab.apimachinery.clock import Clock
from kubelab.apimachinery.terminal import QUOTED, escaped

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def configure(
    name: str, *, level: str, form: Literal["text", "json"], clock: Clock, file: TextIO | None = None
) -> structlog.typing.FilteringBoundLogger:
    """Set this process's logging up and give its logger."""

    def stamp(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        moment = datetime.datetime.fromtimestamp(clock.time(), datetime.UTC)
        event["time"] = moment.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
        return event

    def render(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> str:
        return text_line(event) if form == "text" else json_line(name, event)

    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            stamp,
            render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(file or sys.stderr),
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    root.handlers[:] = [_Bridge()]
    root.setLevel(max(LEVELS[level], logging.INFO))
    logging.captureWarnings(True)
    return structlog.get_logger()


def text_line(event: MutableMapping[str, Any]) -> str:
    """``2026-01-02T03:04:05.678Z INFO  pod bound pod=default/web node=node-1``, and a traceback below."""
    told = dict(event)
    head = f"{told.pop('time')} {str(told.pop('level')).upper():5} {told.pop('event')}"
    trace = told.pop("exception", None)
    pairs = "".join(f" {key}={_quoted(value)}" for key, value in told.items())
    return escaped(head) + pairs + (f"\n{escaped(trace)}" if trace else "")


def json_line(name: str, event: MutableMapping[str, Any]) -> str:
    """The same as one JSON object, with the process's name."""
    told = dict(event)
    ordered = {"time": told.pop("time"), "level": told.pop("level"), "process": name, "event": told.pop("event")}
    return json.dumps({**ordered, **told}, default=str, ensure_ascii=False)


def _quoted(value: object) -> str:
    text = str(value)
    plain = text and not any(c in ' "=\\' or not c.isprintable() for c in text)
    return text if plain else json.dumps(text, ensure_ascii=False).translate(QUOTED)


class _Bridge(logging.Handler):
    """Hand on what libraries log."""

    def emit(self, record: logging.LogRecord) -> None:
        log = structlog.get_logger()
        log.log(min(record.levelno, logging.ERROR), record.getMessage(), logger=record.name, exc_info=record.exc_info)

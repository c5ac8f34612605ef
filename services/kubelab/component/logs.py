"""Structured logs on stderr: one line an event, for people by default, as JSON on request.

Records that libraries log through ``logging`` (gRPC, asyncio) have the same form.
"""

from __future__ import annotations

import datetime
import io
import json
import logging
import os
import sys
from collections.abc import MutableMapping
from typing import Any, Literal, TextIO, cast

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
        logger_factory=structlog.WriteLoggerFactory(file or _standard_error()),
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    root.handlers[:] = [_Bridge()]
    root.setLevel(max(LEVELS[level], logging.INFO))
    logging.captureWarnings(True)
    return structlog.get_logger()


class LossyFile(io.TextIOBase):
    """A log that may lose lines, and never stops the process that writes them: its disk may be full.

    The first line that can be written again says how many are missing.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._lost = 0
        self._torn = False  # the last line was written in part

    def write(self, text: str, /) -> int:
        notice = f"{self._lost} lines of this log are lost: it could not be written\n" if self._lost else ""
        data = f"{chr(10) if self._torn else ''}{notice}{text}".encode(errors="replace")
        written = 0
        try:
            while written < len(data):
                written += os.write(self._fd, data[written:])
        except OSError:
            self._lost += 1
            self._torn = self._torn or written > 0
        else:
            self._lost, self._torn = 0, False
        return len(text)


def _standard_error() -> TextIO:
    """Give a stream to the descriptor behind ``sys.stderr``, or that itself where there is none."""
    try:
        return cast(TextIO, LossyFile(sys.stderr.fileno()))
    except (OSError, ValueError):  # a test has put something else in its place
        return sys.stderr


def text_line(event: MutableMapping[str, Any]) -> str:
    """``2026-01-02T03:04:05.678Z INFO  pod bound pod=default/web node=node-1``, and a traceback below."""
    values = dict(event)
    head = f"{values.pop('time')} {str(values.pop('level')).upper():5} {values.pop('event')}"
    trace = values.pop("exception", None)
    pairs = "".join(f" {key}={_quoted(value)}" for key, value in values.items())
    return escaped(head) + pairs + (f"\n{escaped(trace)}" if trace else "")


def json_line(name: str, event: MutableMapping[str, Any]) -> str:
    """The same as one JSON object, with the process's name."""
    values = dict(event)
    ordered = {"time": values.pop("time"), "level": values.pop("level"), "process": name, "event": values.pop("event")}
    return json.dumps({**ordered, **values}, default=str, ensure_ascii=False)


def _quoted(value: object) -> str:
    text = str(value)
    plain = text and not any(c in ' "=\\' or not c.isprintable() for c in text)
    return text if plain else json.dumps(text, ensure_ascii=False).translate(QUOTED)


class _Bridge(logging.Handler):
    """Hand on what libraries log."""

    def emit(self, record: logging.LogRecord) -> None:
        log = structlog.get_logger()
        log.log(min(record.levelno, logging.ERROR), record.getMessage(), logger=record.name, exc_info=record.exc_info)

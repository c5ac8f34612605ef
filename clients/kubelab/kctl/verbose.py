"""``-v``: shows a command's requests on standard error, as klog's lines.

From 6 on: the call, the status and the time. From 7: the options of the request. From 8: request and answer as text,
cut to 1,024 characters; from 9 whole. Keys and certificates are no part of a call.
"""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from typing import Any

import grpc
from google.protobuf.message import Message

from kubelab.apimachinery.clock import Clock
from kubelab.apimachinery.errors import ApiError
from kubelab.apimachinery.terminal import escaped
from kubelab.client.transport import A, Method, Q, Transport

CALLS, REQUESTS, BODIES, WHOLE = 6, 7, 8, 9
CUT = 1024


class LoggedTransport:
    """A transport that writes a line for each call."""

    def __init__(self, transport: Transport, level: int, clock: Clock) -> None:
        self._transport, self._level, self._clock = transport, level, clock

    async def unary(self, method: Method[Q, A], request: Q, *, timeout: float) -> A:
        began = self._begin(method, request)
        try:
            answer = await self._transport.unary(method, request, timeout=timeout)
        except ApiError as err:
            self._end(method, request, err.reason or type(err).__name__, began)
            raise
        self._end(method, request, "OK", began)
        self._body("Response", answer)
        return answer

    async def stream(
        self, method: Method[Q, A], request: Q, *, timeout: float | None = None, silence: float | None = None
    ) -> AsyncGenerator[A]:
        began = self._begin(method, request)
        status = "OK"
        messages = self._transport.stream(method, request, timeout=timeout, silence=silence)
        try:
            async for message in messages:
                self._body("Response", message)
                yield message
        except ApiError as err:
            status = err.reason or type(err).__name__
            raise
        finally:
            await messages.aclose()
            self._end(method, request, status, began)

    async def duplex(self, method: Method[Q, A]) -> grpc.aio.StreamStreamCall[Q, A]:
        if self._level >= CALLS:
            self._log(method.path)
        return await self._transport.duplex(method)

    async def close(self) -> None:
        await self._transport.close()

    def _begin(self, method: Method[Any, Any], request: Message) -> float:
        if self._level >= REQUESTS:
            self._log(f"{method.path} {_place(request)}".rstrip())
            options = getattr(request, "options", None)
            if isinstance(options, Message) and options.ByteSize():
                self._log(f"Request options: {_text(options)}")
        self._body("Request", request)
        return self._clock.monotonic()

    def _end(self, method: Method[Any, Any], request: Message, status: str, began: float) -> None:
        if self._level >= CALLS:
            took = round((self._clock.monotonic() - began) * 1000)
            self._log(f"{method.path} {_place(request)} {status} in {took} milliseconds".replace("  ", " "))

    def _body(self, title: str, message: Message) -> None:
        if self._level >= BODIES:
            text = _text(message)
            cut = (
                text
                if self._level >= WHOLE or len(text) <= CUT
                else f"{text[:CUT]} [truncated {len(text) - CUT} chars]"
            )
            self._log(f"{title} Body: {cut}")

    def _log(self, text: str) -> None:
        log(text, self._clock)


def log(text: str, clock: Clock) -> None:
    """Write a line as klog does: ``I1129 14:00:34.005673   29597 kctl] text``."""
    now = datetime.fromtimestamp(clock.time(), UTC).astimezone()
    print(f"I{now:%m%d %H:%M:%S.%f} {os.getpid():7d} kctl] {escaped(text)}", file=sys.stderr, flush=True)


def _place(request: Message) -> str:
    """Give what a request is about: ``pods namespace=default name=web``."""
    path: Any = getattr(request, "path", None)
    if path is None:
        return ""
    resource = f"{path.resource}.{path.group}" if path.group else path.resource
    named = (f"{key}={getattr(path, key)}" for key in ("namespace", "name", "subresource") if getattr(path, key))
    return " ".join([resource, *named])


def _text(message: Message) -> str:
    from google.protobuf import text_format

    return text_format.MessageToString(message, as_one_line=True)

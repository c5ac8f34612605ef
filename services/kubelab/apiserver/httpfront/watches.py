"""A watch as an answer that does not end: a line of JSON for each event, or a frame of protobuf
(https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes)."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from aiohttp import web
from google.protobuf.message import Message

from kubelab.apimachinery.clock import Clock
from kubelab.apimachinery.errors import ApiError
from kubelab.apimachinery.meta import INITIAL_EVENTS_END, meta_of
from kubelab.apimachinery.scheme import Resource
from kubelab.apimachinery.wireformat import delimited
from kubelab.apiserver.httpfront import status
from kubelab.apiserver.httpfront.answers import Answers, content_type, envelope, gvk_of, length_delimited
from kubelab.apiserver.httpfront.jsoncache import dump, fields, with_kind
from kubelab.apiserver.httpfront.negotiation import PROTOBUF, TABLE, Accepted
from kubelab.apiserver.watchcache.changes import ADDED, DELETED, MODIFIED, Change, Entry, InitialEventsEnd

SEND_SECONDS = 60.0  # for a client to take what it was sent, before it counts as gone
_NAMES: dict[int, str] = {ADDED: "ADDED", MODIFIED: "MODIFIED", DELETED: "DELETED"}
BOOKMARK, ERROR = "BOOKMARK", "ERROR"


class WatchWriter:
    """Writes the events of one watch."""

    def __init__(
        self, answers: Answers, resource: Resource[Message], form: Accepted, include: str, clock: Clock
    ) -> None:
        self._answers, self._resource, self._form, self._include = answers, resource, form, include
        self._clock = clock
        self._columns = True  # only the first Table has its columns

    async def start(self, raw: web.BaseRequest, headers: list[tuple[str, str]]) -> web.StreamResponse:
        """Send the head of the answer."""
        response = web.StreamResponse(status=200)
        response.headers["Content-Type"] = content_type(self._form, stream=True)
        response.headers["Cache-Control"] = "no-cache, private"
        for name, value in headers:
            response.headers.add(name, value)
        response.enable_chunked_encoding()
        await response.prepare(raw)
        return response

    async def run(
        self, raw: web.BaseRequest, response: web.StreamResponse, events: AsyncGenerator[tuple[int, Change | int]]
    ) -> None:
        """Send events until the watch ends. A client that takes nothing for a minute is disconnected."""
        try:
            async for kind, change in events:
                await self._send(raw, response, self._event(kind, change))
        except ApiError as err:
            await self._send(raw, response, self.error(err))
        await response.write_eof()

    async def fail(self, raw: web.BaseRequest, err: ApiError) -> web.StreamResponse:
        """Answer a watch that cannot begin where its client left off, as an event."""
        response = await self.start(raw, [])
        await self._send(raw, response, self.error(err))
        await response.write_eof()
        return response

    async def _send(self, raw: web.BaseRequest, response: web.StreamResponse, data: bytes) -> None:
        try:
            async with self._clock.timeout(SEND_SECONDS):
                await response.write(data)
        except TimeoutError:
            if raw.transport is not None:
                raw.transport.abort()
            raise ConnectionResetError("the client of a watch takes nothing") from None

    def error(self, err: ApiError) -> bytes:
        """Write the event with which a watch ends that cannot go on."""
        made = err.to_status()
        if self._form.media_type == PROTOBUF:
            return self._frame(ERROR, envelope(status.STATUS, made.SerializeToString()))
        return self._frame(ERROR, dump(status.document(made)))

    def _event(self, kind: int, change: Change | int) -> bytes:
        if isinstance(change, int):
            return self._frame(BOOKMARK, self._bookmark(change))
        return self._frame(_NAMES[kind], self._object(kind, change))

    def _frame(self, name: str, obj: bytes) -> bytes:
        if self._form.media_type == PROTOBUF:
            return length_delimited(delimited(1, name.encode()) + delimited(2, delimited(1, obj)))
        return b"".join((b'{"type":"', name.encode(), b'","object":', obj, b"}\n"))

    def _object(self, kind: int, change: Change) -> bytes:
        resource, form = self._resource, self._form
        if not form.convert:
            if form.media_type == PROTOBUF:
                return envelope(gvk_of(resource), change.value(kind))
            if kind != DELETED and change.entry is not None:
                return with_kind(gvk_of(resource), self._answers.cache.of(resource, change.entry))
            # The last state that matched, at this revision, at which the object itself may be another.
            return with_kind(gvk_of(resource), fields(resource.message.FromString(change.value(kind))))
        shown = self._answers.object(
            resource, _Shown(change, kind), form._replace(pretty=False), self._include, columns=self._columns
        )
        if form.convert == TABLE:
            self._columns = False
        return shown.rstrip(b"\n") if form.media_type != PROTOBUF else shown

    def _bookmark(self, revision: int) -> bytes:
        obj = self._resource.new()
        m = meta_of(obj)
        m.resourceVersion = str(revision)
        if isinstance(revision, InitialEventsEnd):
            m.annotations[INITIAL_EVENTS_END] = "true"
        return self._answers.bookmark(self._resource, obj, self._form)


class _Shown(Entry):
    """What an event shows of a change, where it is converted."""

    __slots__ = ("_value",)

    def __init__(self, change: Change, kind: int) -> None:
        self._value, self.revision, self.key = change.value(kind), change.revision, ""

    @property
    def value(self) -> bytes:
        return self._value

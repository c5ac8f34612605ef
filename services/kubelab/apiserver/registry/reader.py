"""Get, list and watch: served from the caches, with upstream's resourceVersion semantics
(https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions).

Empty: as fresh as etcd is now. ``0``: what the cache has. A number: not older than that, or exactly that, read from
etcd if the resource changed since: with ``resourceVersionMatch: Exact``, for continued lists, and for a list with a
limit that does not say which of the two it means.
"""

from __future__ import annotations

import base64
import binascii
import json
import random
from collections.abc import AsyncGenerator, Mapping
from typing import NamedTuple

from google.protobuf.message import Message

from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery import errors, gojson
from kubelab.apimachinery.clock import Clock
from kubelab.apimachinery.scheme import Resource
from kubelab.apiserver.registry import listoptions
from kubelab.apiserver.registry.listoptions import EXACT
from kubelab.apiserver.registry.selectors import parse_selection
from kubelab.apiserver.storage.store import Store, prefix_end
from kubelab.apiserver.watchcache.cache import ResourceCache
from kubelab.apiserver.watchcache.changes import Change, Entry, Selection
from kubelab.apiserver.watchcache.reflector import Reflector

_PAGE = 500
_VERSION_DIGITS = 20  # of the largest 64 bit number
PAGE_BYTES = 16 * 1024 * 1024  # of a page's objects: well below what a client takes in one message
_WATCH_SECONDS = (1800.0, 3600.0)  # a watch without a time limit ends in between, so that clients spread out again
_LIST_EXPIRED = "The resourceVersion for the provided list is too old."
_CONTINUE_EXPIRED = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without "
    "the continue parameter, or use the continue token in this response to retrieve the remainder of the results. "
    "Continuing with the provided token results in an inconsistent list - objects that were created, modified, or "
    "deleted between the time the first chunk was returned and now may show up in the list."
)
_INCONSISTENT = -1  # the revision of a token that goes on with what is there now


class ObjectList(NamedTuple):
    """Objects of one resource at one revision. ``continue_`` is where the next piece begins, "" at the end."""

    resource: Resource[Message]
    entries: list[Entry]
    revision: int
    continue_: str = ""
    remaining: int | None = None

    @property
    def metadata(self) -> meta_pb2.ListMeta:
        return meta_pb2.ListMeta(
            **{"resourceVersion": str(self.revision or ""), "continue": self.continue_},
            remainingItemCount=self.remaining,
        )


class _Page:
    """What goes into one answer: no more objects than asked for, and of big ones less. 0 is everything, at any size."""

    def __init__(self, limit: int) -> None:
        self.entries: list[Entry] = []
        self._limit, self._bytes = limit, 0

    def take(self, entry: Entry) -> bool:
        """False when it must wait for the next page."""
        size = len(entry.any)
        full = len(self.entries) >= self._limit or self._bytes + size > PAGE_BYTES
        if self._limit and self.entries and full:
            return False
        self.entries.append(entry)
        self._bytes += size
        return True


class ObjectReader:
    """Reads objects from the caches."""

    def __init__(
        self, store: Store, reflector: Reflector, caches: Mapping[Resource[Message], ResourceCache], clock: Clock
    ) -> None:
        self._store, self._reflector, self._caches, self._clock = store, reflector, caches, clock

    async def entry(self, resource: Resource[Message], namespace: str, name: str, version: str = "") -> Entry:
        """One object; NotFound."""
        await self._wait(version)
        entry = self._caches[resource].get(namespace, name)
        if entry is None:
            raise errors.not_found(resource.plural, name, resource.group)
        return entry

    async def list(self, resource: Resource[Message], namespace: str, options: meta_pb2.ListOptions) -> ObjectList:
        """A collection, or a piece of it. Expired when the revision that is asked for is compacted."""
        cache = self._caches[resource]
        listoptions.check_list(options)
        return await self._list(cache, parse_selection(cache.kind, namespace, options), options)

    async def watch(
        self, resource: Resource[Message], namespace: str, options: meta_pb2.ListOptions
    ) -> AsyncGenerator[tuple[int, Change | int]]:
        """Begin a watch: event types with their change, a bookmark with its revision.

        Expired when the revision to go on from is too old, Unavailable while etcd is lost.
        """
        cache = self._caches[resource]
        listoptions.check_watch(options)
        watcher = cache.watcher(parse_selection(cache.kind, namespace, options), options.allowWatchBookmarks)
        seconds = float(options.timeoutSeconds) or random.uniform(*_WATCH_SECONDS)
        self._reflector.health.check()
        await self._wait(options.resourceVersion)
        self._reflector.health.check()  # etcd may be lost since, and only watchers that are registered learn of it
        version, initial = options.resourceVersion, options.sendInitialEvents
        if initial or (version in ("", "0") and not options.HasField("sendInitialEvents")):
            cache.watch_from_now(watcher, self._reflector.revision, initial_events_end=initial)
        else:
            cache.watch_from(self._reflector.revision if version in ("", "0") else _number(version), watcher)
        return watcher.events(self._clock, seconds)

    def selection(self, resource: Resource[Message], namespace: str, options: meta_pb2.ListOptions) -> Selection:
        """Which objects the options choose; BadRequest."""
        return parse_selection(self._caches[resource].kind, namespace, options)

    def after(self, resource: Resource[Message], token: str) -> str:
        """The key after which a continued call goes on, "" for one that begins; BadRequest."""
        return self._caches[resource].prefix + _read_token(token)[1] if token else ""

    def progress(self, resource: Resource[Message], revision: int, key: str, left: int) -> meta_pb2.ListMeta:
        """Tell the client of a collection where to go on, and how many are left."""
        m = meta_pb2.ListMeta(resourceVersion=str(revision))
        if key:
            setattr(m, "continue", _make_token(revision, key, self._caches[resource]))
            m.remainingItemCount = left
        return m

    async def _wait(self, version: str) -> None:
        if version == "":
            await self._reflector.fresh()
        elif version != "0":
            await self._reflector.reached(_number(version))

    async def _list(self, cache: ResourceCache, selection: Selection, options: meta_pb2.ListOptions) -> ObjectList:
        resource, limit = cache.kind.resource, max(0, options.limit)  # upstream: less than none is no limit
        version, after, match = options.resourceVersion, "", options.resourceVersionMatch
        exact = match == EXACT or (not match and limit > 0 and version not in ("", "0"))
        token: str = getattr(options, "continue")  # a keyword in Python
        if token:
            if version not in ("", "0"):
                raise errors.BadRequest("specifying resource version is not allowed when using continue")
            revision, start = _read_token(token)
            exact = revision != _INCONSISTENT
            after, version = cache.prefix + start, str(revision) if exact else ""
        await self._wait(version)
        if exact and cache.changed > _number(version):
            try:
                return await self._list_at(cache, selection, _number(version), after, limit)
            except errors.Expired as err:
                if not token:
                    raise errors.Expired(_LIST_EXPIRED) from err
                raise errors.Expired(_CONTINUE_EXPIRED, continue_=_make_token(_INCONSISTENT, after, cache)) from err
        revision = _number(version) if exact else self._reflector.revision
        page = _Page(limit)
        if all(page.take(entry) for entry in cache.select(selection, after)):
            return ObjectList(resource, page.entries, revision)
        entries, remaining = page.entries, None
        if selection.labels is None and selection.fields is None:
            remaining = cache.count_after(selection, entries[-1].key)
        return ObjectList(resource, entries, revision, _make_token(revision, entries[-1].key, cache), remaining)

    async def _list_at(
        self, cache: ResourceCache, selection: Selection, revision: int, after: str, limit: int
    ) -> ObjectList:
        """Read a revision of the past from etcd."""
        prefix = cache.key(selection.namespace, "") if selection.namespace else cache.prefix
        start = after + "\0" if after else prefix
        resource, listed = cache.kind.resource, _Page(limit)
        while True:
            page = await self._store.range(start, prefix_end(prefix), limit=_PAGE, revision=revision)
            for kv in page.items:
                entry = cache.entry(kv.key, kv.value, kv.mod_revision)
                if entry is None or not selection.matches(entry):
                    continue
                if not listed.take(entry):
                    token = _make_token(revision, listed.entries[-1].key, cache)
                    return ObjectList(resource, listed.entries, revision, token)
            if not page.more:
                return ObjectList(resource, listed.entries, revision)
            start = page.items[-1].key + "\0"


def _number(version: str) -> int:
    if not (version.isascii() and version.isdecimal()) or len(version) > _VERSION_DIGITS:
        why = f'strconv.ParseUint: parsing "{version}": invalid syntax'
        raise errors.BadRequest(f'resourceVersion: Invalid value: "{version}": {why}')
    return int(version)


def _make_token(revision: int, key: str, cache: ResourceCache) -> str:
    message = {"v": "meta.k8s.io/v1", "rv": revision, "start": key.removeprefix(cache.prefix)}
    return base64.urlsafe_b64encode(json.dumps(message, separators=(",", ":")).encode()).decode().rstrip("=")


def _read_token(token: str) -> tuple[int, str]:
    invalid = "invalid continue token: continue key is not valid"
    try:
        text = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode(errors="replace")
        message = json.loads(text)
        revision, start = message["rv"], message["start"]
        str(start).encode()
    except json.JSONDecodeError as err:
        raise errors.BadRequest(f"{invalid}: {gojson.syntax(err)}") from err
    except (ValueError, KeyError, TypeError, RecursionError, binascii.Error) as err:
        raise errors.BadRequest(f"{invalid}: incorrect encoding") from err
    if not isinstance(revision, int) or not isinstance(start, str) or (revision <= 0 and revision != _INCONSISTENT):
        raise errors.BadRequest(f"{invalid}: incorrect encoded start resourceVersion")
    return revision, start

"""An api-server in memory, for tests: the same client talks to it through another transport.

It keeps the rules that clients rely on: revisions, conflicts, uids, generateName, the status subresource apart from the
rest, bindings, deletion with grace and finalizers, label and field selectors, chunked lists, watches from a revision
with bookmarks and Expired. It knows nothing of defaults, validation, namespaces' life cycle or tables.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message

from kubelab.api.autoscaling.v1 import autoscaling_pb2
from kubelab.api.core.v1 import core_pb2
from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery import errors, fields, labels, scheme
from kubelab.apimachinery.clock import Clock, SystemClock
from kubelab.apimachinery.core.pods import is_terminal
from kubelab.apimachinery.errors import ApiError
from kubelab.apimachinery.messages import deep_copy
from kubelab.apimachinery.meta import key_of, meta_of
from kubelab.apimachinery.scheme import Resource
from kubelab.client.client import Client
from kubelab.client.transport import Method
from kubelab.rpc import tracing, warnings
from kubelab.rpc.apiserver.v1 import apiserver_pb2 as pb

T = TypeVar("T", bound=Message)
Q = TypeVar("Q", bound=Message)
A = TypeVar("A", bound=Message)


@dataclass(frozen=True, slots=True)
class Call:
    """One request as it came in, whatever became of it."""

    caller: str
    verb: str  # get, list, watch, create, update, delete, deletecollection
    resource: str
    namespace: str
    name: str
    subresource: str = ""
    object: Message | None = None
    cause: str = ""
    request: Message | None = None


@dataclass(slots=True)
class _Change:
    revision: int
    type: Any  # pb.WatchEvent.Type
    object: Message
    old: Message | None


@dataclass(slots=True)
class _Fault:
    error: ApiError
    verb: str
    resource: str
    times: int
    after: bool


@dataclass(eq=False)
class _Watcher:
    queue: asyncio.Queue[pb.WatchEvent | ApiError | None] = field(default_factory=asyncio.Queue)


class FakeApiServer:
    """See the module. ``calls`` records every request; ``fail`` makes the next ones fail."""

    def __init__(self, *, clock: Clock | None = None) -> None:
        self.clock: Clock = clock or SystemClock()
        self.calls: list[Call] = []
        self.revision = 0
        self._objects: dict[str, dict[str, Message]] = defaultdict(dict)
        self._history: dict[str, list[_Change]] = defaultdict(list)
        self._watchers: dict[str, set[_Watcher]] = defaultdict(set)
        self._held: dict[str, asyncio.Event] = {}
        self._faults: list[_Fault] = []
        self._compacted = 0
        self._uids = itertools.count(1)
        self._suffixes = itertools.count(1)
        self._waiters: set[asyncio.Future[None]] = set()
        self.logs: dict[tuple[str, str], bytes] = {}
        self.audit: list[pb.AuditRecord] = []
        self.down = False
        self.warnings: list[str] = []  # that come with every write

    def client(self, caller: str = "test") -> Client:
        """Give a client that talks to this server."""
        return Client(_Memory(self, caller), clock=self.clock, caller=caller)

    # --- for tests: what is there, without a request

    def add(self, *objects: Message) -> None:
        """Put objects in as they are, status and all; one that is there already becomes like this, with its uid."""
        for obj in objects:
            resource, copied = scheme.of_object(obj), deep_copy(obj)
            meta, old = meta_of(copied), self._objects[scheme.of_object(obj).qualified].get(key_of(obj))
            meta.uid = meta.uid or (meta_of(old).uid if old is not None else f"uid-{next(self._uids)}")
            if not meta.HasField("creationTimestamp"):
                meta.creationTimestamp.seconds = int(self.clock.time())
            self._write(resource, copied)

    def get(self, resource: Resource[T], key: str) -> T | None:
        """Look at one object, ``namespace/name``."""
        found = self._objects[resource.qualified].get(key)
        return cast("T | None", deep_copy(found) if found is not None else None)

    def objects(self, resource: Resource[T]) -> list[T]:
        """Look at all objects of a resource, by key."""
        kept = self._objects[resource.qualified]
        return [cast(Any, deep_copy(kept[key])) for key in sorted(kept)]

    def remove(self, resource: Resource[Message], key: str) -> None:
        """Take an object away at once, whatever its grace and finalizers."""
        self._drop(resource, self._objects[resource.qualified][key])

    def calls_of(self, verb: str, resource: Resource[Message] | None = None) -> list[Call]:
        """Give the requests of one verb, and of one resource."""
        return [c for c in self.calls if c.verb == verb and (resource is None or c.resource == resource.qualified)]

    def fail(self, error: ApiError, *, verb: str = "", resource: str = "", times: int = 1, after: bool = False) -> None:
        """Answer the next matching requests with an error; ``after`` does what was asked first."""
        self._faults.append(_Fault(error, verb, resource, times, after))

    def heal(self) -> None:
        """Take back every :meth:`fail`."""
        self._faults.clear()

    def compact(self) -> None:
        """Forget the history: a watch from an earlier revision gets Expired."""
        self._compacted = self.revision
        self._history.clear()

    def break_watches(self, error: ApiError | None = None) -> None:
        """End every watch, with an error or as if the server had."""
        for watchers in self._watchers.values():
            for watcher in watchers:
                watcher.queue.put_nowait(error)

    def bookmark(self) -> None:
        """Tell every watch the present revision."""
        event = pb.WatchEvent(type=pb.WatchEvent.BOOKMARK, resource_version=str(self.revision))
        for watchers in self._watchers.values():
            for watcher in watchers:
                watcher.queue.put_nowait(event)

    def hold_watches(self, resource: Resource[Message]) -> None:
        """Let no watch of a resource tell anything, as on a slow connection, until :meth:`release_watches`."""
        self._held[resource.qualified] = asyncio.Event()

    def release_watches(self, resource: Resource[Message]) -> None:
        """Let the watches tell what was held back, and go on."""
        self._held.pop(resource.qualified).set()

    def watching(self, resource: Resource[Message]) -> int:
        """How many watches of a resource are open."""
        return len(self._watchers[resource.qualified])

    async def until(self, condition: Callable[[], object], *, seconds: float = 10.0) -> None:
        """Wait until ``condition()`` is true; it is asked again after every change and every request."""
        async with asyncio.timeout(seconds):
            while not condition():
                waiter = asyncio.get_running_loop().create_future()
                self._waiters.add(waiter)
                try:
                    async with asyncio.timeout(0.02):  # other things than this server may make it true
                        await waiter
                except TimeoutError:
                    continue
                finally:
                    self._waiters.discard(waiter)

    # --- requests

    async def handle(self, method: str, request: Any, caller: str) -> Message:
        """Answer one unary request."""
        verb = method.rpartition("/")[2].lower()
        if verb in ("serverversion", "serverresources"):
            return self._discover(verb)
        self._admit(verb, request, caller)
        answer = await getattr(self, f"_{verb}")(request)
        if verb in ("create", "update"):
            warnings.deliver(self.warnings)
        self._notify()
        self._fault(verb, request.path.resource, after=True)
        return answer

    def _admit(self, verb: str, request: Any, caller: str) -> None:
        if self.down:
            raise errors.Unavailable("the connection to the server was refused")
        path = request.path
        resource = scheme.by_plural(path.group, path.resource)
        wrapped: AnyMessage | None = getattr(request, "object", None)
        sent = scheme.by_type_url(wrapped.type_url) if wrapped is not None else None
        obj = sent.message.FromString(wrapped.value) if sent and wrapped is not None else None
        self.calls.append(
            Call(
                caller,
                verb,
                resource.qualified if resource else path.resource,
                path.namespace,
                path.name or (meta_of(obj).name if obj is not None else ""),
                path.subresource,
                obj,
                tracing.current_cause(),
                request,
            )
        )
        self._notify()
        self._fault(verb, path.resource, after=False)
        if resource is None:
            raise errors.NotFound("the server could not find the requested resource")

    def _fault(self, verb: str, resource: str, *, after: bool) -> None:
        for fault in self._faults:
            if fault.after is after and fault.verb in ("", verb) and fault.resource in ("", resource):
                fault.times -= 1
                if fault.times <= 0:
                    self._faults.remove(fault)
                raise fault.error

    async def _get(self, request: pb.GetRequest) -> pb.ObjectResponse:
        _, obj = self._find(request.path)
        return _answer(_scale_of(obj) if request.path.subresource == "scale" else obj)

    async def _list(self, request: pb.ListRequest) -> pb.ListResponse:
        resource = _resource(request.path)
        offset, revision = 0, self.revision
        token: str = getattr(request.options, "continue")
        if token:
            offset, revision = (int(part) for part in token.split(":"))
            if revision < self._compacted:
                raise errors.Expired("The provided continue parameter is too old")
        found = self._select(resource, request.path.namespace, request.options)
        answer = pb.ListResponse(metadata=meta_pb2.ListMeta(resourceVersion=str(revision)))
        limit = request.options.limit or len(found)
        chunk = found[offset : offset + limit]
        answer.items.extend(scheme.pack(obj) for obj in chunk)
        if offset + limit < len(found):
            setattr(answer.metadata, "continue", f"{offset + limit}:{revision}")
            answer.metadata.remainingItemCount = len(found) - offset - limit
        return answer

    async def _create(self, request: pb.CreateRequest) -> pb.ObjectResponse:
        if request.path.subresource == "binding":
            return self._bind(request)
        resource = _resource(request.path)
        obj = resource.message.FromString(request.object.value)
        meta = meta_of(obj)
        if resource.namespaced:
            meta.namespace = request.path.namespace or meta.namespace
        if not meta.name and meta.generateName:
            meta.name = f"{meta.generateName}{next(self._suffixes):05d}"
        if key_of(obj) in self._objects[resource.qualified]:
            raise errors.already_exists(resource.plural, meta.name, resource.group)
        meta.uid = f"uid-{next(self._uids)}"
        meta.generation = 1
        meta.creationTimestamp.CopyFrom(meta_pb2.Time(seconds=int(self.clock.time())))
        if "status" in resource.subresources:
            obj.ClearField("status")
        if resource is scheme.PODS:
            cast(core_pb2.Pod, obj).status.phase = "Pending"
        return _answer(self._write(resource, obj))

    def _bind(self, request: pb.CreateRequest) -> pb.ObjectResponse:
        binding = core_pb2.Binding.FromString(request.object.value)
        _, found = self._find(request.path)
        pod = cast(core_pb2.Pod, found)
        if pod.spec.nodeName:
            why = f"pod {pod.metadata.name} is already assigned to node {pod.spec.nodeName!r}"
            raise errors.conflict("pods/binding", pod.metadata.name, why)
        pod.spec.nodeName = binding.target.name
        pod.status.conditions.add(type="PodScheduled", status="True")
        self._write(scheme.PODS, pod)
        return _answer(meta_pb2.Status(status="Success", code=201))

    async def _update(self, request: pb.UpdateRequest) -> pb.ObjectResponse:
        resource, old = self._find(request.path)
        if request.path.subresource == "scale":
            return self._scale(request, resource, old)
        new = resource.message.FromString(request.object.value)
        meta, was = meta_of(new), meta_of(old)
        if meta.resourceVersion and meta.resourceVersion != was.resourceVersion:
            why = "the object has been modified; please apply your changes to the latest version and try again"
            raise errors.conflict(resource.plural, meta.name, why, resource.group)
        if meta.uid and meta.uid != was.uid:
            why = f"Precondition failed: UID in precondition: {meta.uid}, UID in object meta: {was.uid}"
            raise errors.conflict(resource.plural, meta.name, why, resource.group)
        if request.path.subresource == "status":
            merged: Any = deep_copy(old)
            merged.status.CopyFrom(cast(Any, new).status)
            new = merged
        else:
            if "status" in resource.subresources:
                cast(Any, new).status.CopyFrom(cast(Any, old).status)
            _keep_server_fields(meta, was)
            if _has_spec(new) and cast(Any, new).spec != cast(Any, old).spec:
                meta.generation = was.generation + 1
        if meta_of(new).HasField("deletionTimestamp") and not meta_of(new).finalizers and _gone(new):
            return _answer(self._drop(resource, new))
        meta_of(new).resourceVersion = was.resourceVersion
        if new == old:
            return _answer(old)  # no change, no revision
        return _answer(self._write(resource, new))

    def _scale(self, request: pb.UpdateRequest, resource: Resource[Message], old: Message) -> pb.ObjectResponse:
        asked = autoscaling_pb2.Scale.FromString(request.object.value)
        new: Any = deep_copy(old)
        new.spec.replicas = asked.spec.replicas
        new.metadata.generation += 1
        return _answer(_scale_of(self._write(resource, new)))

    async def _delete(self, request: pb.DeleteRequest) -> pb.ObjectResponse:
        resource, obj = self._find(request.path)
        options, meta = request.options, meta_of(obj)
        wanted = options.preconditions
        if wanted.HasField("uid") and wanted.uid != meta.uid:
            why = f"Precondition failed: UID in precondition: {wanted.uid}, UID in object meta: {meta.uid}"
            raise errors.conflict(resource.plural, meta.name, why, resource.group)
        if wanted.HasField("resourceVersion") and wanted.resourceVersion != meta.resourceVersion:
            raise errors.conflict(resource.plural, meta.name, "Precondition failed: resourceVersion", resource.group)
        grace = _grace(obj, options)
        if options.propagationPolicy == "Foreground" and "foregroundDeletion" not in meta.finalizers:
            meta.finalizers.append("foregroundDeletion")
        if options.propagationPolicy == "Orphan" and "orphan" not in meta.finalizers:
            meta.finalizers.append("orphan")
        if grace == 0 and not meta.finalizers:
            return _answer(self._drop(resource, obj))
        if meta.HasField("deletionTimestamp") and meta.deletionGracePeriodSeconds <= grace:
            return _answer(obj)
        meta.deletionTimestamp.CopyFrom(meta_pb2.Time(seconds=int(self.clock.time()) + grace))
        meta.deletionGracePeriodSeconds = grace
        return _answer(self._write(resource, obj))

    async def _deletecollection(self, request: pb.DeleteCollectionRequest) -> pb.ListResponse:
        resource = _resource(request.path)
        answer = pb.ListResponse()
        options = request.list_options
        after: str = getattr(options, "continue")
        found = [obj for obj in self._select(resource, request.path.namespace, options) if key_of(obj) > after]
        chosen = found[: options.limit or None]
        if len(chosen) < len(found):
            setattr(answer.metadata, "continue", key_of(chosen[-1]))
            answer.metadata.remainingItemCount = len(found) - len(chosen)
        for obj in chosen:
            path = deep_copy(request.path)
            path.namespace, path.name = meta_of(obj).namespace, meta_of(obj).name
            gone = await self._delete(pb.DeleteRequest(path=path, options=request.options))
            answer.items.append(gone.object)
        answer.metadata.resourceVersion = str(self.revision)
        return answer

    def _discover(self, verb: str) -> Message:
        if verb == "serverversion":
            return pb.ServerVersionResponse(git_version="v0.0.0-fake", platform="linux/amd64")
        rows = [
            meta_pb2.APIResource(
                name=r.plural,
                namespaced=r.namespaced,
                kind=r.kind,
                verbs=r.verbs,
                shortNames=r.short_names,
                singularName=r.singular,
                categories=r.categories,
                group=r.group,
                version=r.version,
            )
            for r in scheme.ALL
        ]
        return pb.ServerResourcesResponse(resources=rows)

    async def watch(self, request: pb.WatchRequest, caller: str) -> AsyncGenerator[pb.WatchEvent]:
        """Answer one watch."""
        self._admit("watch", request, caller)
        resource = _resource(request.path)
        since = int(request.options.resourceVersion or 0)
        if since < self._compacted:
            raise errors.Expired(f"too old resource version: {since} ({self._compacted})")
        watcher = _Watcher()
        for change in self._history[resource.qualified]:
            if change.revision > since:
                watcher.queue.put_nowait(_event_of(change))
        self._watchers[resource.qualified].add(watcher)
        self._notify()
        matches = _matcher(request.path.namespace, request.options)
        seen: set[str] = {key_of(o) for o in self._as_of(resource, since) if matches(o)}
        try:
            while True:
                event = await watcher.queue.get()
                if isinstance(event, ApiError):
                    raise event
                if (held := self._held.get(resource.qualified)) is not None:
                    await held.wait()
                if event is None:
                    return
                shown = _for_watcher(resource, event, matches, seen)
                if shown is not None:
                    yield shown
        finally:
            self._watchers[resource.qualified].discard(watcher)

    # --- the store

    def _find(self, path: pb.ResourcePath) -> tuple[Resource[Message], Message]:
        resource = _resource(path)
        key = f"{path.namespace}/{path.name}" if path.namespace else path.name
        found = self._objects[resource.qualified].get(key)
        if found is None:
            raise errors.not_found(resource.plural, path.name, resource.group)
        return resource, deep_copy(found)

    def _select(self, resource: Resource[Message], namespace: str, options: meta_pb2.ListOptions) -> list[Message]:
        matches = _matcher(namespace, options)
        kept = self._objects[resource.qualified]
        return [deep_copy(kept[key]) for key in sorted(kept) if matches(kept[key])]

    def _as_of(self, resource: Resource[Message], revision: int) -> list[Message]:
        state = dict(self._objects[resource.qualified])
        for change in reversed([c for c in self._history[resource.qualified] if c.revision > revision]):
            if change.old is None:
                state.pop(key_of(change.object), None)
            else:
                state[key_of(change.object)] = change.old
        return [*state.values()]

    def _write(self, resource: Resource[Message], obj: Message) -> Message:
        key = key_of(obj)
        old = self._objects[resource.qualified].get(key)
        self.revision += 1
        meta_of(obj).resourceVersion = str(self.revision)
        kept = self._objects[resource.qualified][key] = deep_copy(obj)
        self._publish(resource, pb.WatchEvent.ADDED if old is None else pb.WatchEvent.MODIFIED, kept, old)
        return deep_copy(kept)

    def _drop(self, resource: Resource[Message], obj: Message) -> Message:
        old = self._objects[resource.qualified].pop(key_of(obj))
        self.revision += 1
        last = deep_copy(obj)
        meta_of(last).resourceVersion = str(self.revision)
        self._publish(resource, pb.WatchEvent.DELETED, last, old)
        return last

    def _publish(self, resource: Resource[Message], kind: Any, obj: Message, old: Message | None) -> None:
        change = _Change(self.revision, kind, obj, old)
        self._history[resource.qualified].append(change)
        for watcher in self._watchers[resource.qualified]:
            watcher.queue.put_nowait(_event_of(change))
        self._notify()

    def _notify(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)


class _Memory:
    """The transport to a :class:`FakeApiServer`."""

    def __init__(self, server: FakeApiServer, caller: str) -> None:
        self._server, self._caller = server, caller

    async def unary(self, method: Method[Q, A], request: Q, *, timeout: float) -> A:
        await asyncio.sleep(0)  # as a real call would, let others run
        return cast(A, await self._server.handle(method.path, request, self._caller))

    async def stream(
        self, method: Method[Q, A], request: Q, *, timeout: float | None = None, silence: float | None = None
    ) -> AsyncGenerator[A]:
        asked: Any = request
        if method.path.endswith("/Watch"):
            events = self._server.watch(asked, self._caller)
            try:
                async for event in events:
                    yield cast(A, event)
            finally:
                await events.aclose()
        elif method.path.endswith("/Logs"):
            found = self._server.logs.get((asked.namespace, asked.name))
            if found is None:
                raise errors.not_found("pods", asked.name)
            yield cast(A, pb.PodLogsChunk(data=found))
        else:
            for record in self._server.audit:
                if record.name == asked.name and record.namespace == asked.namespace:
                    yield cast(A, record)

    async def close(self) -> None:
        return


def _resource(path: pb.ResourcePath) -> Resource[Message]:
    found = scheme.by_plural(path.group, path.resource)
    if found is None:
        raise errors.NotFound("the server could not find the requested resource")
    return found


def _answer(obj: Message) -> pb.ObjectResponse:
    return pb.ObjectResponse(object=scheme.pack(obj))


def _event_of(change: _Change) -> pb.WatchEvent:
    return pb.WatchEvent(type=change.type, object=scheme.pack(change.object), resource_version=str(change.revision))


def _for_watcher(
    resource: Resource[Message], event: pb.WatchEvent, matches: Callable[[Message], bool], seen: set[str]
) -> pb.WatchEvent | None:
    """Give the event as a watch with selectors sees it: what starts to match is added, what stops is deleted."""
    if event.type == pb.WatchEvent.BOOKMARK:
        return event
    obj = resource.message.FromString(event.object.value)
    key = key_of(obj)
    shown = deep_copy(event)
    if event.type != pb.WatchEvent.DELETED and matches(obj):
        shown.type = pb.WatchEvent.MODIFIED if key in seen else pb.WatchEvent.ADDED
        seen.add(key)
        return shown
    if key not in seen:
        return None
    seen.discard(key)
    shown.type = pb.WatchEvent.DELETED
    return shown


def _matcher(namespace: str, options: meta_pb2.ListOptions) -> Callable[[Message], bool]:
    try:
        wanted_labels = labels.parse(options.labelSelector)
        wanted_fields = fields.parse(options.fieldSelector)
    except (labels.SelectorError, fields.FieldSelectorError) as err:
        raise errors.BadRequest(str(err)) from err

    def matches(obj: Message) -> bool:
        meta = meta_of(obj)
        if namespace and meta.namespace != namespace:
            return False
        if not wanted_labels.matches(meta.labels):
            return False
        return wanted_fields.matches({term.field: _field(obj, term.field) for term in wanted_fields.terms})

    return matches


def _field(obj: Any, path: str) -> str:
    for name in path.split("."):
        obj = getattr(obj, name)
    return str(obj)


def _grace(obj: Message, options: meta_pb2.DeleteOptions) -> int:
    """Seconds of grace: pods that were placed and still run have some."""
    if not isinstance(obj, core_pb2.Pod) or not obj.spec.nodeName or is_terminal(obj):
        return 0
    if options.HasField("gracePeriodSeconds"):
        return options.gracePeriodSeconds
    return obj.spec.terminationGracePeriodSeconds if obj.spec.HasField("terminationGracePeriodSeconds") else 30


def _gone(obj: Message) -> bool:
    if isinstance(obj, core_pb2.Namespace):
        return not obj.spec.finalizers
    return meta_of(obj).deletionGracePeriodSeconds == 0 or not isinstance(obj, core_pb2.Pod)


def _keep_server_fields(meta: meta_pb2.ObjectMeta, was: meta_pb2.ObjectMeta) -> None:
    meta.uid = was.uid
    meta.generation = was.generation
    meta.creationTimestamp.CopyFrom(was.creationTimestamp)
    if was.HasField("deletionTimestamp"):
        meta.deletionTimestamp.CopyFrom(was.deletionTimestamp)
        meta.deletionGracePeriodSeconds = was.deletionGracePeriodSeconds


def _has_spec(obj: Message) -> bool:
    return "spec" in obj.DESCRIPTOR.fields_by_name


def _scale_of(obj: Any) -> Message:
    scale = autoscaling_pb2.Scale()
    scale.metadata.name, scale.metadata.namespace = obj.metadata.name, obj.metadata.namespace
    scale.metadata.resourceVersion = obj.metadata.resourceVersion
    scale.spec.replicas = obj.spec.replicas
    scale.status.replicas = obj.status.replicas
    scale.status.selector = ",".join(f"{key}={value}" for key, value in sorted(obj.spec.selector.items()))
    return scale

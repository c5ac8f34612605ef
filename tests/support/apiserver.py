"""An api-server in memory, for tests: the real endpoints on a store in memory, behind another transport.

What a client is answered is what every api-server answers: the same defaults, checks, conflicts, watches. Two things
differ: its caches hold a write before the writer has the answer, and :meth:`ApiServerInMemory.add` writes objects past
every rule, so that a test can begin with any state.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from prometheus_client import CollectorRegistry

from kubelab.api.core.v1 import core_pb2, serviceaccounts_pb2
from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery import errors, scheme
from kubelab.apimachinery.clock import Clock, SystemClock
from kubelab.apimachinery.errors import ApiError
from kubelab.apimachinery.messages import deep_copy
from kubelab.apimachinery.meta import meta_of
from kubelab.apimachinery.scheme import Resource
from kubelab.apiserver.authz.rbac.bootstrap import seeds
from kubelab.apiserver.config import ApiServerConfig
from kubelab.apiserver.grpcfront.discovery import DiscoveryServicer
from kubelab.apiserver.resources.core.namespaces import SYSTEM_NAMESPACES
from kubelab.apiserver.server import ApiServer
from kubelab.apiserver.storage.store import Delete, Put, Store, StoreEvent
from kubelab.apiserver.watchcache.cache import ResourceCache
from kubelab.apiserver.watchcache.reflector import Reflector
from kubelab.auth.attributes import Attributes
from kubelab.auth.roles import MASTERS
from kubelab.auth.users import User
from kubelab.client.client import Client
from kubelab.client.transport import Method
from kubelab.rpc import fencing, tracing, warnings
from kubelab.rpc.apiserver.v1 import apiserver_pb2 as pb
from tests.support.inprocess import CallContext
from tests.support.memorystore import MemoryStore

ADMIN = User("kubernetes-admin", frozenset({MASTERS}))
T = TypeVar("T", bound=Message)
Q = TypeVar("Q", bound=Message)
A = TypeVar("A", bound=Message)


@dataclass(frozen=True, slots=True)
class Call:
    """One request as it came in, whatever became of it."""

    caller: str
    verb: str  # get, list, watch, create, update, patch, delete, deletecollection
    resource: str
    namespace: str
    name: str
    subresource: str = ""
    object: Message | None = None
    cause: str = ""
    request: Message | None = None


@dataclass(slots=True)
class _Fault:
    error: ApiError
    verb: str
    resource: str
    times: int
    after: bool


@dataclass(eq=False, slots=True)
class _Stream:
    """A watch that is open; ``error`` is what it ends with."""

    error: ApiError | None = None


class _InstantReflector(Reflector):
    """Takes every change in at once: the caches are never behind the store."""

    async def fresh(self) -> int:
        return self.revision

    def take(self, events: Sequence[StoreEvent]) -> None:
        self._apply(events)

    def forget_history(self) -> None:
        for cache in self._all():
            cache._history.clear(cache.ring, self.revision)


class _ServerClock(SystemClock):
    """Tells a test's time of day. What the server waits for, such as a watch's end, takes real time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def time(self) -> float:
        return self._clock.time()


class ApiServerInMemory:
    """See the module. ``calls`` records every request; ``fail`` makes the next ones fail."""

    def __init__(self, *, clock: Clock | None = None, config: ApiServerConfig | None = None) -> None:
        self.clock: Clock = clock or SystemClock()
        self.calls: list[Call] = []
        self.logs: dict[tuple[str, str], bytes] = {}
        self.audit: list[pb.AuditRecord] = []
        self.warnings: list[str] = []  # that come with every write, besides its own
        self.observers: list[Callable[[], None]] = []  # called after every change
        self.down = False
        self._held: dict[str, asyncio.Event] = {}
        self._faults: list[_Fault] = []
        self._waiters: set[asyncio.Future[None]] = set()
        self._streams: set[_Stream] = set()
        self._suffixes = 0
        self._store = MemoryStore(self.clock)
        self.api = ApiServer(
            config or ApiServerConfig(),
            self._store,
            process="api-server@test",
            clock=_ServerClock(self.clock),
            metrics=CollectorRegistry(),
            make_reflector=self._make_reflector,
        )
        self._store.on_change = self._take
        self.front = self.api.resources_front
        self._discovery = DiscoveryServicer(self.api.resources)
        self.add(*(core_pb2.Namespace(metadata=meta_pb2.ObjectMeta(name=name)) for name in SYSTEM_NAMESPACES))

    def _make_reflector(self, store: Store, caches: Sequence[ResourceCache], clock: Clock) -> Reflector:
        self._reflector = _InstantReflector(store, caches, clock)
        self._reflector.health.succeeded()
        return self._reflector

    def _take(self, events: Sequence[StoreEvent]) -> None:
        self._reflector.take(events)
        self._notify()
        for observe in self.observers:
            observe()

    def client(self, caller: str = "test", headers: tuple[tuple[str, str], ...] = ()) -> Client:
        """Give a client that talks to this server. ``headers`` go along with every call but watches."""
        return Client(_InProcess(self, caller, headers), clock=self.clock, caller=caller)

    # --- for tests: what is there, without a request

    @property
    def revision(self) -> int:
        return self._store.latest

    def add(self, *objects: Message, defaults: bool = False) -> None:
        """Put objects in as they are, status and all; one that is there already becomes like this, with its uid.

        With ``defaults`` they get what a creation would have given them: then they may be updated by requests.
        """
        for obj in objects:
            copied, resource = deep_copy(obj), scheme.of_object(obj)
            cache = self._cache(resource)
            if defaults:
                self.api.resources.storages[resource].strategy.default(copied)
                self.api.admission.of(Attributes(ADMIN, "create", resource.group, resource.plural)).admit(copied, None)
            m = meta_of(copied)
            present = cache.get(m.namespace, m.name)
            if not m.uid:
                self._suffixes += 1
                m.uid = present.uid if present is not None else f"uid-{self._suffixes}"
            if not m.HasField("creationTimestamp"):
                m.creationTimestamp.seconds = int(self.clock.time())
            m.ClearField("resourceVersion")
            if resource is scheme.NAMESPACES and self._cache(scheme.SERVICE_ACCOUNTS).get(m.name, "default") is None:
                account = meta_pb2.ObjectMeta(name="default", namespace=m.name)
                self.add(serviceaccounts_pb2.ServiceAccount(metadata=account))
            value = cache.kind.envelope.seal(copied.SerializeToString(deterministic=True))
            self._store.write(Put(cache.key(m.namespace, m.name), value))

    def add_default_roles(self) -> None:
        """Put in what a real api-server writes when it starts. Without it only system:masters may do anything."""
        self.add(*seeds())

    def get(self, resource: Resource[T], key: str) -> T | None:
        """Look at one object, ``namespace/name``."""
        namespace, _, name = key.rpartition("/")
        entry = self._cache(resource).get(namespace, name)
        return resource.message.FromString(entry.value) if entry is not None else None

    def objects(self, resource: Resource[T]) -> list[T]:
        """Look at all objects of a resource, by key."""
        entries = self._cache(resource).entries
        return [resource.message.FromString(entries[key].value) for key in sorted(entries)]

    def remove(self, resource: Resource[Message], key: str) -> None:
        """Take an object away at once, whatever its grace and finalizers."""
        namespace, _, name = key.rpartition("/")
        cache = self._cache(resource)
        assert cache.get(namespace, name) is not None, key
        self._store.write(Delete(cache.key(namespace, name)))

    def calls_of(self, verb: str, resource: Resource[Message] | None = None) -> list[Call]:
        """Give the requests of one verb, and of one resource."""
        return [c for c in self.calls if c.verb == verb and (resource is None or c.resource == resource.qualified)]

    def fail(self, error: ApiError, *, verb: str = "", resource: str = "", times: int = 1, after: bool = False) -> None:
        """Answer the next matching requests with an error; ``after`` does what they ask first."""
        self._faults.append(_Fault(error, verb, resource, times, after))

    def heal(self) -> None:
        """Take back every :meth:`fail`."""
        self._faults.clear()

    def compact(self) -> None:
        """Forget the history: a watch from an earlier revision gets Expired."""
        self._reflector.forget_history()

    def break_watches(self, error: ApiError | None = None) -> None:
        """End every watch, with an error or as if the server had."""
        for stream in self._streams:
            stream.error = error
        self._reflector.close_watches()

    def bookmark(self) -> None:
        """Tell every watch the present revision."""
        self._reflector.send_bookmarks()

    def hold_watches(self, resource: Resource[Message]) -> None:
        """Let no watch of a resource tell anything, as on a slow connection, until :meth:`release_watches`."""
        self._held[resource.qualified] = asyncio.Event()

    def release_watches(self, resource: Resource[Message]) -> None:
        """Let the watches tell what was held back, and go on."""
        self._held.pop(resource.qualified).set()

    def watching(self, resource: Resource[Message]) -> int:
        """How many watches of a resource are open."""
        return len(self._cache(resource).watchers)

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

    def _cache(self, resource: Resource[Message]) -> ResourceCache:
        return self.api.caches[resource]

    def _notify(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    # --- requests

    async def handle(self, method: str, request: Any, caller: str, headers: tuple[tuple[str, str], ...] = ()) -> bytes:
        """Answer one unary request."""
        verb = method.rpartition("/")[2].lower()
        context: Any = CallContext((*tracing.outgoing(caller), *fencing.outgoing(), *headers))
        if verb == "serverversion":
            return (await self._discovery.ServerVersion(request, context)).SerializeToString()
        if verb == "serverresources":
            return (await self._discovery.ServerResources(request, context)).SerializeToString()
        self._note(verb, request, caller)
        name = {"deletecollection": "delete_collection"}.get(verb, verb)
        answer = await getattr(self.front, name)(request, context)
        warnings.deliver_from(context.trailing)
        if verb in ("create", "update", "patch"):
            warnings.deliver(self.warnings)
        self._notify()
        self._fault(verb, request.path.resource, after=True)
        return answer

    async def watch(self, request: pb.WatchRequest, caller: str) -> AsyncGenerator[bytes]:
        """Answer one watch."""
        self._note("watch", request, caller)
        context: Any = CallContext(tracing.outgoing(caller))
        resource = scheme.by_plural(request.path.group, request.path.resource)
        name = resource.qualified if resource is not None else ""
        events, stream = self.front.watch(request, context), _Stream()
        self._streams.add(stream)
        try:
            async for event in events:
                if (held := self._held.get(name)) is not None:
                    await held.wait()
                yield event
            if stream.error is not None:
                raise stream.error
        finally:
            self._streams.discard(stream)
            await events.aclose()
            self._notify()

    def _note(self, verb: str, request: Any, caller: str) -> None:
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

    def _fault(self, verb: str, resource: str, *, after: bool) -> None:
        for fault in self._faults:
            if fault.after is after and fault.verb in ("", verb) and fault.resource in ("", resource):
                fault.times -= 1
                if fault.times <= 0:
                    self._faults.remove(fault)
                raise fault.error


class _InProcess:
    """The transport to an :class:`ApiServerInMemory`."""

    def __init__(self, server: ApiServerInMemory, caller: str, headers: tuple[tuple[str, str], ...] = ()) -> None:
        self._server, self._caller, self._headers = server, caller, headers

    async def unary(self, method: Method[Q, A], request: Q, *, timeout: float) -> A:
        await asyncio.sleep(0)  # as a real call would, let others run
        answer = await self._server.handle(method.path, deep_copy(request), self._caller, self._headers)
        return method.answer.FromString(answer)

    async def duplex(self, method: Method[Q, A]) -> grpc.aio.StreamStreamCall[Q, A]:
        raise NotImplementedError("no pod of an api-server in memory runs: there is nobody to speak with")

    async def stream(
        self, method: Method[Q, A], request: Q, *, timeout: float | None = None, silence: float | None = None
    ) -> AsyncGenerator[A]:
        asked: Any = deep_copy(request)
        if method.path.endswith("/Watch"):
            events = self._server.watch(asked, self._caller)
            try:
                async for event in events:
                    yield method.answer.FromString(event)
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

"""What every request passes, whichever front it came through: authentication, flow control, attributes, authorisation,
the choice of admission plugins; and at its end audit and metrics."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from types import TracebackType
from typing import Any

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from prometheus_client import CollectorRegistry, Counter, Histogram

from kubelab.api.custom.custom_pb2 import CustomObject
from kubelab.apimachinery import errors, grpcstatus
from kubelab.apimachinery.clock import Clock
from kubelab.apimachinery.meta import meta_of
from kubelab.apimachinery.scheme import NAMESPACES, Resource
from kubelab.apiserver.admission.chain import Admission, AdmissionChain
from kubelab.apiserver.audit.log import AuditLog, Record
from kubelab.apiserver.authn.authenticator import Authenticator
from kubelab.apiserver.authz.authorizer import Authorizer
from kubelab.apiserver.customresources.objects import check_kind
from kubelab.apiserver.endpoints.attributes import attributes_of, lookup
from kubelab.apiserver.endpoints.decoding import decode
from kubelab.apiserver.flowcontrol.concurrency import list_seats
from kubelab.apiserver.flowcontrol.gate import Gate
from kubelab.apiserver.flowcontrol.matching import Digest
from kubelab.apiserver.limits import LARGE, Users
from kubelab.apiserver.request import Request, RequestPath
from kubelab.apiserver.resources.subresource import Subresource
from kubelab.apiserver.resources.table import Resources
from kubelab.apiserver.storage.fenced import FENCE
from kubelab.apiserver.storage.observed import STORE_TIME
from kubelab.auth.attributes import Attributes
from kubelab.auth.users import User
from kubelab.rpc import fencing, tracing

_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 10, 60)


class RequestHandler:
    """Lets requests in and sees them out. ``process`` is this api-server's name in audit records."""

    def __init__(
        self,
        process: str,
        resources: Resources,
        authenticator: Authenticator,
        authorizer: Authorizer,
        gate: Gate,
        admission: AdmissionChain,
        audit: AuditLog,
        clock: Clock,
        registry: CollectorRegistry,
    ) -> None:
        self._process, self._resources = process, resources
        self._authenticator, self._authorizer, self._admission = authenticator, authorizer, admission
        self._gate, self._audit, self._clock = gate, audit, clock
        labels = ("verb", "resource", "subresource")
        self._total = Counter("apiserver_request_total", "Requests answered.", (*labels, "code"), registry=registry)
        self._seconds = Histogram(
            "apiserver_request_duration_seconds",
            "Time of a request; of a watch, how long it was open.",
            labels,
            buckets=_BUCKETS,
            registry=registry,
        )
        self._metrics: dict[tuple[str, str, str, str], tuple[Any, Any]] = {}
        self._closed = False
        self._users = Users()
        self._under_way = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def admission(self, a: Attributes) -> Admission:
        """Choose the admission plugins for a write that follows from a request."""
        return self._admission.of(a)

    @property
    def closed(self) -> bool:
        """Whether every request is refused."""
        return self._closed

    def close(self) -> None:
        """Refuse every request from now on, in words that tell the caller to ask another server."""
        self._closed = True

    async def idle(self) -> None:
        """Wait until nothing is under way, watches and other streams aside."""
        await self._idle.wait()

    async def authenticate(self, request: Request) -> User:
        """Find out who sends a request, once. Unauthorized; Forbidden for one who may not impersonate."""
        return request.user or await self._authenticator.identify(request)

    async def identify(self, request: Request) -> User:
        """Find out who sends a request before its body is read; a failure is counted and recorded. Unauthorized."""
        try:
            return await self.authenticate(request)
        except errors.ApiError as err:
            self.end(request, _code(err), *self.now())
            raise

    @contextlib.asynccontextmanager
    async def reading(self, request: Request, path: str) -> AsyncGenerator[None]:
        """Let the body read a path that is no resource, such as ``/version``, if its user may. A refusal is counted
        and recorded. Unauthorized, Forbidden, TooManyRequests."""
        user = await self.identify(request)
        try:
            try:
                await self._enter(request, Digest(user, request.verb, path=path))
                await self._authorizer.check(Attributes(user, request.verb, path=path))
            except errors.ApiError as err:
                request.detail = path
                self.end(request, _code(err), *self.now())
                raise
            yield
        finally:
            self.leave_seat(request)

    async def check_target(self, request: Request) -> None:
        """Let a request that is wrong in some other way say so only to a user who may do what its path and its verb
        ask. A refusal is counted and recorded. Unauthorized, Forbidden."""
        if request.judged:
            return
        user = await self.identify(request)
        try:
            await self._authorize_target(user, request)
        except errors.ApiError as err:
            self.end(request, _code(err), *self.now())
            raise

    async def _authorize_target(self, user: User, request: Request) -> None:
        p = request.path
        await self._authorizer.check(
            Attributes(user, request.verb, p.group, p.resource, p.subresource, p.namespace, p.name)
        )

    def handling(self, request: Request) -> _Handling:
        """Let the body of an ``async with`` do what the request asks, if its user may. It gets the subresource that the
        path names, or the actions of a resource that is only passed through. Raises
        :mod:`kubelab.apimachinery.errors`."""
        return _Handling(self, request)

    async def begin(self, request: Request) -> Subresource | None:
        """Take a request through everything before its verb. Gives what its path names beside the resource."""
        if self._closed:
            raise errors.not_executed("the server is shutting down")
        user = await self.authenticate(request)
        path = request.path
        resource, subresource = await self._lookup(path)
        request.resource, request.known = resource, True
        streamed = subresource is not None and subresource.streamed
        self._count(request, user, stream=streamed or request.verb == "watch")
        if not streamed:  # a command or a log may be there for hours, and costs little; it is bounded by its count
            await self._seat(request, user, resource)
        obj: Message | None = None
        if request.content is not None:
            message = (subresource.message if subresource is not None else None) or resource.message
            try:
                obj = request.obj = _decoded(request, message, resource)
            except errors.ApiError:
                await self._authorize_target(user, request)  # others are not told what is wrong with the object
                raise
            if subresource is not None and subresource.unnamed and not meta_of(obj).name:
                meta_of(obj).name = path.name
        a = request.attributes = attributes_of(user, request.verb, resource, path, request.field_selector, obj)
        request.name = a.name
        STORE_TIME.set(request.store)
        FENCE.set(fencing.incoming(request.metadata))
        await self._authorizer.check(a)
        request.judged = True
        check_verb(a, resource, subresource)
        request.admission = self._admission.of(a)
        return subresource

    def _count(self, request: Request, user: User, *, stream: bool) -> None:
        """Count a request among those of its user. TooManyRequests."""
        self._users.enter(user.name, stream=stream)
        request.stream = stream
        if not stream:
            self._under_way += 1
            self._idle.clear()

    async def _seat(self, request: Request, user: User, resource: Resource[Message]) -> None:
        """Get a request the seats that it takes. TooManyRequests."""
        path = request.path
        named = f"{path.resource}/{path.subresource}" if path.subresource else path.resource
        namespace = path.name if resource is NAMESPACES else path.namespace  # upstream's RequestInfo has it so
        objects = 0
        if request.verb == "list" and "metadata.name=" not in request.field_selector:
            cache = self._resources.caches.get(resource)
            objects = len(cache.entries) if cache is not None else 0
        await self._enter(request, Digest(user, request.verb, path.group, named, namespace), objects)

    async def _enter(self, request: Request, digest: Digest, objects: int = 0) -> None:
        """The same, for a request that goes through so many objects."""
        gate = self._gate
        flow = request.flow = gate.flow(digest)
        seats = list_seats(objects, request.limit, flow.level.queues.share.widest) if objects else 1
        ticket = gate.enter(flow, seats, flow)
        if ticket.waiting:
            await gate.turn(flow, ticket)
        request.ticket = ticket

    def leave_seat(self, request: Request) -> None:
        """Give a request's seats back before its end, as a watch does that has begun."""
        if request.ticket is not None and request.flow is not None:
            self._gate.leave(request.flow, request.ticket)
            request.ticket = None

    async def _lookup(self, path: RequestPath) -> tuple[Resource[Message], Subresource | None]:
        """Find what a path names; NotFound. A kind that was just added is waited for."""
        try:
            return lookup(path, self._resources)
        except errors.NotFound:
            if await self._resources.find(path.group, path.resource, path.version) is None:
                raise
        return lookup(path, self._resources)

    def hold_answer(self, request: Request, size: int) -> None:
        """Count an answer of so many bytes until it is taken, where it is large. TooManyRequests when the user has not
        taken too much already."""
        if size > LARGE and request.user is not None:
            self._users.hold(request.user.name, size)
            request.unsent = size

    def answer_taken(self, request: Request) -> None:
        """Count no longer the answer that was held."""
        if request.unsent and request.user is not None:
            self._users.taken(request.user.name, request.unsent)
            request.unsent = 0

    def end(self, request: Request, code: str, wall: float, started: float) -> None:
        """Count a request that has ended, however it did, and record it."""
        self.leave_seat(request)
        if request.stream is not None and request.user is not None:
            self._users.leave(request.user.name, stream=request.stream)
            if not request.stream:
                self._under_way -= 1
                if not self._under_way:
                    self._idle.set()
            request.stream = None
        took = self._clock.monotonic() - started
        path, known = request.path, request.known
        key = (request.verb, path.resource if known else "", path.subresource if known else "", code)
        metrics = self._metrics.get(key)
        if metrics is None:
            metrics = self._metrics[key] = (self._total.labels(*key), self._seconds.labels(*key[:3]))
        metrics[0].inc()
        metrics[1].observe(took)
        if path.subresource != "audit":  # reading the trail is not a part of it
            self._audit.add(self._record(request, code, wall, took))

    def now(self) -> tuple[float, float]:
        """Wall time and monotonic time."""
        return self._clock.time(), self._clock.monotonic()

    def _record(self, request: Request, code: str, wall: float, took: float) -> Record:
        origin = tracing.incoming(request.metadata)
        span = origin.span.child() if origin.span else tracing.new_trace()
        user, path = request.user, request.path
        sender = request.impersonator or user
        record: Record = {
            "started_unix_nano": str(int(wall * 1e9)),
            "duration_nano": str(int(took * 1e9)),
            "process": self._process,
            "caller": sender.process if sender else "",
            "verb": request.verb,
            "resource": path.resource,
            "namespace": path.namespace,
            "name": request.name or path.name,
            "subresource": path.subresource,
            "code": code,
            "cause": origin.cause,
            "trace_id": span.trace_id,
            "span_id": span.span_id,
        }
        if origin.span:
            record["parent_span_id"] = origin.span.span_id
        if user and sender:
            record["user"] = sender.name
            if user is not sender:
                record["impersonated"] = user.name
            record["uid"] = request.uid
            record["resource_version"] = request.resource_version
            record["store_nano"] = str(int(request.store.seconds * 1e9))
            record["detail"] = request.detail
        if annotations := {**request.admission.annotations, **request.annotations}:
            record["annotations"] = annotations
        if origin.caller != record["caller"]:
            record["claimed"] = origin.caller
        return record


class _Handling:
    """One request under way. A class, and no generator: every request passes here."""

    __slots__ = ("_handler", "_request", "_started", "_wall")

    def __init__(self, handler: RequestHandler, request: Request) -> None:
        self._handler, self._request = handler, request

    async def __aenter__(self) -> Subresource | None:
        self._wall, self._started = self._handler.now()
        try:
            return await self._handler.begin(self._request)
        except BaseException as err:
            self._end(err)
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, err: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end(err)

    def _end(self, err: BaseException | None) -> None:
        self._handler.end(self._request, _code(err), self._wall, self._started)


def _decoded(request: Request, message: type[Message], resource: Resource[Message]) -> Message:
    """Read the object of a request. BadRequest, Invalid, TooLarge."""
    content = request.content
    assert content is not None
    if isinstance(content, AnyMessage):
        obj = decode(message, content)
    else:
        obj = content.decode(message, resource)
        request.warnings = content.warnings
    if isinstance(obj, CustomObject):
        check_kind(obj, resource)
    return obj


def _code(err: BaseException | None) -> str:
    """The word for how a request ended: the name of a gRPC status, also where it came over HTTP."""
    if err is None:
        return "OK"
    if isinstance(err, errors.ApiError):
        return grpcstatus.CODES[type(err)].name
    if isinstance(err, asyncio.CancelledError | GeneratorExit):
        return "CANCELLED"
    return "INTERNAL"  # a bug: the server's edge logs, counts and answers it


def check_verb(a: Attributes, resource: Resource[Message], subresource: Subresource | None) -> None:
    """Raise MethodNotAllowed for what a resource or subresource does not serve."""
    if a.verb not in (subresource.verbs if subresource is not None else resource.verbs):
        raise method_not_allowed(a)


def method_not_allowed(a: Attributes) -> errors.MethodNotAllowed:
    """Upstream's words."""
    return errors.MethodNotAllowed(
        "the server does not allow this method on the requested resource", name=a.name, group=a.group, kind=a.resource
    )

"""What every request passes: authentication, attributes, authorisation, and then errors, audit and metrics."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from prometheus_client import CollectorRegistry, Counter, Histogram

from kubelab.apimachinery import errors, grpcstatus
from kubelab.apimachinery.clock import Clock
from kubelab.apimachinery.meta import meta_of
from kubelab.apimachinery.scheme import Resource
from kubelab.apiserver.admission.noderestriction import Admission, admission
from kubelab.apiserver.audit.log import AuditLog
from kubelab.apiserver.authz.authorizer import Authorizer
from kubelab.apiserver.endpoints.attributes import attributes_of, message_of, resource_of
from kubelab.apiserver.endpoints.decoding import decode
from kubelab.apiserver.limits import Users
from kubelab.apiserver.resources.table import Resources
from kubelab.apiserver.storage.fenced import FENCE
from kubelab.apiserver.storage.observed import STORE_TIME, StoreTime
from kubelab.auth.attributes import Attributes
from kubelab.auth.users import User, user_of
from kubelab.rpc import fencing, tracing, warnings
from kubelab.rpc.apiserver.v1 import apiserver_pb2 as pb

Context = grpc.aio.ServicerContext[Any, Any]
_ENDLESS = ("watch", "log", "audit")  # verbs and subresources of calls that last as long as the caller wants
_NO_OBJECT = pb.ResourcePath()  # stands for the object of a request that carries none
_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 10, 60)


@dataclass(slots=True)
class Call:
    """One request on its way. ``obj`` is what it wants written, ``admit`` what the write has to pass.

    What is not known at first is filled in for the audit record.
    """

    verb: str
    resource: Resource[Message]
    namespace: str
    name: str
    subresource: str
    user: User
    obj: Message
    admit: Admission | None = None
    uid: str = ""
    resource_version: str = ""
    detail: str = ""
    code: str = "OK"
    warnings: Sequence[str] = ()
    store: StoreTime = field(default_factory=StoreTime)

    def wrote(self, obj: Message, revision: int) -> None:
        """Note what a write made."""
        m = meta_of(obj)
        self.name, self.uid, self.resource_version = m.name, m.uid, str(revision)


class RequestHandler:
    """Lets requests in. ``process`` is this api-server's name in audit records, ``uid_of_node`` gives a Node's UID."""

    def __init__(
        self,
        process: str,
        resources: Resources,
        authorizer: Authorizer,
        audit: AuditLog,
        clock: Clock,
        registry: CollectorRegistry,
        uid_of_node: Callable[[str], str],
    ) -> None:
        self._process, self._resources = process, resources
        self._authorizer, self._audit, self._clock = authorizer, audit, clock
        self._uid_of_node = uid_of_node
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

    def close(self) -> None:
        """Refuse every request from now on, in words that tell the caller to ask another server."""
        self._closed = True

    async def idle(self) -> None:
        """Wait until nothing is under way, watches and the like aside."""
        await self._idle.wait()

    @contextlib.contextmanager
    def _counted(self, user: User, verb: str, subresource: str) -> Generator[None]:
        endless = verb in _ENDLESS or subresource in _ENDLESS
        with self._users.one_more(user.name, stream=endless):
            if endless:
                yield
            else:
                with self._finite():
                    yield

    @contextlib.contextmanager
    def _finite(self) -> Generator[None]:
        self._under_way += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._idle.set()

    @contextlib.asynccontextmanager
    async def admit(
        self, context: Context, verb: str, path: pb.ResourcePath, *, fields: str = "", obj: AnyMessage | None = None
    ) -> AsyncGenerator[Call]:
        """Run the body for a caller who may; answer what it raises with its status.

        ``fields`` is the request's field selector, ``obj`` the object that it carries.
        """
        started, wall = self._clock.monotonic(), self._clock.time()
        call: Call | None = None
        code = "OK"
        try:
            if self._closed:
                raise errors.not_executed("the server is shutting down")
            user = user_of(context)
            resource = resource_of(path, self._resources)
            call = Call(verb, resource, path.namespace, path.name, path.subresource, user, _NO_OBJECT)
            wanted = None if obj is None else decode(message_of(resource, path.subresource), obj)
            a = attributes_of(user, verb, resource, path, fields, wanted)
            call.name, call.obj = a.name, wanted or _NO_OBJECT
            STORE_TIME.set(call.store)
            FENCE.set(fencing.incoming(context.invocation_metadata()))
            await self._authorizer.check(a)
            check_verb(a, resource)
            call.admit = admission(a, self._uid_of_node)
            with self._counted(user, verb, path.subresource):
                yield call
            if call.warnings:
                context.set_trailing_metadata(warnings.metadata(call.warnings))
        except errors.ApiError as err:
            told = grpcstatus.to_rpc(err)
            code = told[0].name
            await context.abort(*told)
        except (asyncio.CancelledError, grpc.aio.AbortError, GeneratorExit):
            code = "CANCELLED"
            raise
        except Exception:  # a bug: the server's edge logs, counts and answers it
            code = "INTERNAL"
            raise
        finally:
            self._record(context, call, path, verb, code, wall, self._clock.monotonic() - started)

    def _record(
        self, context: Context, call: Call | None, path: pb.ResourcePath, verb: str, code: str, wall: float, took: float
    ) -> None:
        key = (verb, path.resource if call else "", path.subresource if call else "", code)
        found = self._metrics.get(key)
        if found is None:
            found = self._metrics[key] = (self._total.labels(*key), self._seconds.labels(*key[:3]))
        found[0].inc()
        found[1].observe(took)
        if path.subresource == "audit":
            return  # reading the trail is not a part of it
        came = tracing.incoming(context.invocation_metadata())
        span = came.span.child() if came.span else tracing.new_trace()
        record: dict[str, str | int] = {
            "started_unix_nano": str(int(wall * 1e9)),
            "duration_nano": str(int(took * 1e9)),
            "process": self._process,
            "caller": "",
            "verb": verb,
            "resource": path.resource,
            "namespace": path.namespace,
            "name": call.name if call else path.name,
            "subresource": path.subresource,
            "code": code,
            "cause": came.cause,
            "trace_id": span.trace_id,
            "span_id": span.span_id,
        }
        if came.span:
            record["parent_span_id"] = came.span.span_id
        if call:
            record["user"] = call.user.name
            record["caller"] = call.user.process
            record["uid"] = call.uid
            record["resource_version"] = call.resource_version
            record["store_nano"] = str(int(call.store.seconds * 1e9))
            record["detail"] = call.detail
        if came.caller != record["caller"]:
            record["claimed"] = came.caller
        self._audit.add(record)


SUBRESOURCE_VERBS = {
    "log": ("get",),
    "audit": ("get",),
    "status": ("get", "update"),
    "scale": ("get", "update"),
    "binding": ("create",),
    "finalize": ("update",),
}


def check_verb(a: Attributes, resource: Resource[Message]) -> None:
    """Raise MethodNotAllowed for what a resource or subresource does not serve."""
    verbs = SUBRESOURCE_VERBS.get(a.subresource, ()) if a.subresource else resource.verbs
    if a.verb not in verbs:
        raise errors.MethodNotAllowed(
            "the server does not allow this method on the requested resource",
            name=a.name,
            group=a.group,
            kind=a.resource,
        )

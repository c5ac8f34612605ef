"""The typed client: one method for each verb of the api-server.

Every call has a deadline, carries the caller's trace and cause, and raises ``kubelab.apimachinery.errors``. Reads are
repeated a few times when no server answers; a write only when it was not executed for certain.
"""

from __future__ import annotations

import enum
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message

from kubelab.api.authentication.v1 import authentication_pb2
from kubelab.api.autoscaling.v1 import autoscaling_pb2
from kubelab.api.certificates.v1 import certificates_pb2
from kubelab.api.core.v1 import core_pb2
from kubelab.api.meta.v1 import meta_pb2
from kubelab.api.policy.v1 import policy_pb2
from kubelab.apimachinery import scheme
from kubelab.apimachinery.clock import Clock, SystemClock
from kubelab.apimachinery.errors import ApiError, Timeout
from kubelab.apimachinery.meta import meta_of
from kubelab.apimachinery.objectlists import decode_all
from kubelab.apimachinery.patch.types import PatchType
from kubelab.apimachinery.scheme import Resource
from kubelab.client.kubeconfig import Access, Kubeconfig
from kubelab.client.requests import (
    AUDIT_RECORDS,
    CREATE,
    DELETE,
    DELETE_COLLECTION,
    GET,
    LIST,
    PATCH,
    POD_ATTACH,
    POD_EXEC,
    POD_LOGS,
    POD_PORT_FORWARD,
    SERVER_RESOURCES,
    SERVER_VERSION,
    UPDATE,
    WATCH,
    delete_options,
    dry_run_values,
    list_options,
    patch_options,
    path_of,
)
from kubelab.client.transport import Connections, FencedTransport, Transport
from kubelab.rpc import remotecommand
from kubelab.rpc.apiserver.v1 import apiserver_pb2 as pb
from kubelab.rpc.channels import TLSIdentity, TLSIdentityFiles
from kubelab.rpc.fencing import Fence
from kubelab.rpc.portforward import begun
from kubelab.rpc.remotecommand import CalledCommand
from kubelab.streams.duplex import Duplex

T = TypeVar("T", bound=Message)
M = TypeVar("M", bound=Message)

CALL_SECONDS = 10.0
COMMAND_SECONDS = 30.0  # for a command to begin
LIST_SECONDS = 60.0  # a whole collection, unchunked
LONG_SECONDS = 120.0  # deleting a collection
PIECE = 500  # objects of a collection that one call deletes
PIECE_SECONDS = 30.0  # for its answer; the server ends a piece after some seconds itself
SILENT_SECONDS = 150.0  # a watch without any event for so long is lost: the server sends a bookmark every 60 s
OVERDUE_SECONDS = 10.0  # after the time when the server should have ended a watch


class EventType(enum.Enum):
    """The type of a watch event. The values are upstream's."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"
    BOOKMARK = "BOOKMARK"


_EVENT_TYPES = {
    pb.WatchEvent.ADDED: EventType.ADDED,
    pb.WatchEvent.MODIFIED: EventType.MODIFIED,
    pb.WatchEvent.DELETED: EventType.DELETED,
    pb.WatchEvent.BOOKMARK: EventType.BOOKMARK,
}


@dataclass(frozen=True, slots=True)
class Event(Generic[T]):
    """One change. ``object`` is its state after the change, the last one of a deleted object, None in a bookmark.

    ``initial_events_end`` is true of the bookmark after all initial events.
    """

    type: EventType
    object: T | None
    resource_version: str
    initial_events_end: bool = False


@dataclass(frozen=True, slots=True)
class TypedList(Generic[T]):
    """A collection, or a chunk of one, as it was at ``resource_version``. ``continue_`` asks for the next chunk."""

    items: list[T] = field(default_factory=list[T])
    resource_version: str = ""
    continue_: str = ""
    remaining: int | None = None


class Client:
    """Talk to the api-servers. One client per process is enough; its calls may run side by side."""

    def __init__(self, transport: Transport, *, clock: Clock | None = None, caller: str = "") -> None:
        self._transport = transport
        self.clock: Clock = clock or SystemClock()
        self.caller = caller

    @classmethod
    def from_kubeconfig(
        cls,
        path_or_config: str | Path | Kubeconfig | Access,
        *,
        caller: str,
        clock: Clock | None = None,
        context: str = "",
    ) -> Client:
        """Connect as a kubeconfig's context says, the current one by default; nothing is sent yet.

        ``caller`` is the process name that audit records show. Raises KubeconfigError.
        """
        if isinstance(path_or_config, (str, Path)):
            path_or_config = Kubeconfig.load(path_or_config)
        access = path_or_config.access(context) if isinstance(path_or_config, Kubeconfig) else path_or_config
        clock = clock or SystemClock()
        connections = Connections.secure(
            access.servers,
            TLSIdentityFiles(*access.files) if access.files else TLSIdentity(access.ca, access.certificate, access.key),
            caller=caller,
            clock=clock,
            server_name=access.server_name,
            headers=access.headers,
        )
        return cls(connections, clock=clock, caller=caller)

    def fenced(self, fence: Callable[[], Fence]) -> Client:
        """Give a client on the same connections whose writes are refused when ``fence`` is not true any more.

        ``fence`` is asked before each write, and may raise.
        """
        return Client(FencedTransport(self._transport, fence), clock=self.clock, caller=self.caller)

    def through(self, wrap: Callable[[Transport], Transport]) -> Client:
        """Give a client whose calls pass through what ``wrap`` makes of this one's transport."""
        return Client(wrap(self._transport), clock=self.clock, caller=self.caller)

    async def close(self) -> None:
        """End every call and every connection."""
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, err: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    # --- reading

    async def get(self, resource: Resource[T], name: str, namespace: str = "") -> T:
        """Read one object. Raises NotFound."""
        answer = await self._transport.unary(
            GET, pb.GetRequest(path=path_of(resource, namespace, name)), timeout=CALL_SECONDS
        )
        return resource.message.FromString(answer.object.value)

    async def get_subresource(
        self, resource: Resource[Message], name: str, namespace: str, subresource: str
    ) -> Message:
        """Read what a subresource gives: the object, or such as a Scale. Raises NotFound."""
        request = pb.GetRequest(path=path_of(resource, namespace, name, subresource))
        answer = await self._transport.unary(GET, request, timeout=CALL_SECONDS)
        message = autoscaling_pb2.Scale if answer.object.Is(autoscaling_pb2.Scale.DESCRIPTOR) else resource.message
        return message.FromString(answer.object.value)

    async def list(
        self,
        resource: Resource[T],
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        limit: int = 0,
        continue_: str = "",
        resource_version: str = "",
        resource_version_match: str = "",
    ) -> TypedList[T]:
        """Read a collection; of all namespaces when ``namespace`` is empty. Raises Expired for an old ``continue_``."""
        options = list_options(
            label_selector,
            field_selector,
            resource_version,
            limit=limit,
            continue_=continue_,
            resourceVersionMatch=resource_version_match,
        )
        request = pb.ListRequest(path=path_of(resource, namespace), options=options)
        answer = await self._transport.unary(LIST, request, timeout=LIST_SECONDS)
        return TypedList(
            items=decode_all(resource.message, [item.value for item in answer.items]),
            resource_version=answer.metadata.resourceVersion,
            continue_=_continue_of(answer.metadata),
            remaining=answer.metadata.remainingItemCount if answer.metadata.HasField("remainingItemCount") else None,
        )

    async def pages(
        self,
        resource: Resource[T],
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        chunk: int = 500,
        resource_version: str = "",
    ) -> AsyncGenerator[TypedList[T]]:
        """Read a collection in chunks, all of them as of one revision."""
        continue_ = ""
        while True:
            page = await self.list(
                resource,
                namespace,
                label_selector=label_selector,
                field_selector=field_selector,
                limit=chunk,
                continue_=continue_,
                resource_version="" if continue_ else resource_version,
            )
            yield page
            continue_ = page.continue_
            if not continue_:
                return

    def watch(
        self,
        resource: Resource[T],
        namespace: str = "",
        *,
        resource_version: str,
        label_selector: str = "",
        field_selector: str = "",
        bookmarks: bool = True,
        timeout_seconds: int | None = None,
        send_initial_events: bool | None = None,
    ) -> AsyncGenerator[Event[T]]:
        """Yield every change after ``resource_version``, until the server ends the stream, after ``timeout_seconds`` at
        the latest. With ``send_initial_events`` everything that is there comes first, then a bookmark that says so.

        Raises Expired when the server no longer knows that revision, Unavailable when the connection is lost or, with
        bookmarks, says nothing any more.
        """
        options = list_options(
            label_selector,
            field_selector,
            resource_version,
            allowWatchBookmarks=bookmarks,
            timeoutSeconds=timeout_seconds,
            sendInitialEvents=send_initial_events,
            resourceVersionMatch="" if send_initial_events is None else "NotOlderThan",
        )
        request = pb.WatchRequest(path=path_of(resource, namespace), options=options)
        return self._events(request, resource.message)

    # --- tables

    async def get_table(
        self,
        resource: Resource[Message],
        name: str,
        namespace: str = "",
        *,
        subresource: str = "",
        include_object: str = "Metadata",
    ) -> meta_pb2.Table:
        """Read one object, or a subresource of it, as the server's table of one row."""
        request = pb.GetRequest(
            path=path_of(resource, namespace, name, subresource),
            table=meta_pb2.TableOptions(includeObject=include_object),
        )
        answer = await self._transport.unary(GET, request, timeout=CALL_SECONDS)
        return meta_pb2.Table.FromString(answer.object.value)

    async def list_table(
        self,
        resource: Resource[Message],
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        limit: int = 0,
        continue_: str = "",
        include_object: str = "Metadata",
    ) -> meta_pb2.Table:
        """Read a collection as the server's table; ``metadata`` holds the revision and where to go on."""
        request = pb.ListRequest(
            path=path_of(resource, namespace),
            options=list_options(label_selector, field_selector, limit=limit, continue_=continue_),
            table=meta_pb2.TableOptions(includeObject=include_object),
        )
        answer = await self._transport.unary(LIST, request, timeout=LIST_SECONDS)
        if not answer.table.HasField("metadata"):
            answer.table.metadata.CopyFrom(answer.metadata)
        return answer.table

    def watch_table(
        self,
        resource: Resource[Message],
        namespace: str = "",
        *,
        resource_version: str,
        label_selector: str = "",
        field_selector: str = "",
        bookmarks: bool = True,
        include_object: str = "Metadata",
    ) -> AsyncGenerator[Event[meta_pb2.Table]]:
        """Yield every change as a table of one row."""
        request = pb.WatchRequest(
            path=path_of(resource, namespace),
            options=list_options(label_selector, field_selector, resource_version, allowWatchBookmarks=bookmarks),
            table=meta_pb2.TableOptions(includeObject=include_object),
        )
        return self._events(request, meta_pb2.Table)

    async def _events(self, request: pb.WatchRequest, message: type[M]) -> AsyncGenerator[Event[M]]:
        """Watch, with each event's object decoded."""
        options, decode = request.options, message.FromString
        events = self._transport.stream(
            WATCH,
            request,
            timeout=options.timeoutSeconds + OVERDUE_SECONDS if options.HasField("timeoutSeconds") else None,
            silence=SILENT_SECONDS if options.allowWatchBookmarks else None,
        )
        try:
            async for event in events:
                kind = _EVENT_TYPES[event.type]
                if kind is EventType.BOOKMARK:  # only the one after the initial events has an object
                    yield Event(kind, None, event.resource_version, event.HasField("object"))
                else:
                    yield Event(kind, decode(event.object.value), event.resource_version)
        finally:
            await events.aclose()

    # --- writing

    async def create(
        self,
        obj: M,
        namespace: str = "",
        *,
        dry_run: bool = False,
        field_manager: str = "",
        field_validation: str = "",
    ) -> M:
        """Create it and return it as stored. Raises AlreadyExists, Invalid.

        In all writes ``dry_run`` goes through every check and stores nothing, ``field_manager`` is the name under which
        managedFields has what the write sets, and ``field_validation`` is Ignore, Warn or Strict.
        """
        resource = scheme.of_object(obj)
        meta = meta_of(obj)
        options = meta_pb2.CreateOptions(
            dryRun=dry_run_values(dry_run), fieldManager=field_manager, fieldValidation=field_validation
        )
        path = path_of(resource, namespace or meta.namespace)
        request = pb.CreateRequest(path=path, object=scheme.pack(obj), options=options)
        answer = await self._transport.unary(CREATE, request, timeout=CALL_SECONDS)
        return type(obj).FromString(answer.object.value)

    async def create_token(
        self, name: str, namespace: str, request: authentication_pb2.TokenRequest
    ) -> authentication_pb2.TokenRequest:
        """Ask for a token of a service account. Raises NotFound, Invalid; Conflict for an object of another uid."""
        path = path_of(scheme.SERVICE_ACCOUNTS, namespace, name, "token")
        answer = await self._transport.unary(
            CREATE, pb.CreateRequest(path=path, object=scheme.pack(request)), timeout=CALL_SECONDS
        )
        return authentication_pb2.TokenRequest.FromString(answer.object.value)

    async def update(self, obj: M, *, dry_run: bool = False, field_manager: str = "", field_validation: str = "") -> M:
        """Replace it. Raises Conflict when it changed since the resourceVersion that ``obj`` carries."""
        return await self._update(obj, "", dry_run, field_manager, field_validation)

    async def update_status(
        self, obj: M, *, dry_run: bool = False, field_manager: str = "", field_validation: str = ""
    ) -> M:
        """Replace its status only."""
        return await self._update(obj, "status", dry_run, field_manager, field_validation)

    async def update_approval(
        self, csr: certificates_pb2.CertificateSigningRequest
    ) -> certificates_pb2.CertificateSigningRequest:
        """Write the conditions that decide on a certificate signing request."""
        return await self._update(csr, "approval")

    async def _update(
        self, obj: M, subresource: str, dry_run: bool = False, field_manager: str = "", field_validation: str = ""
    ) -> M:
        meta = meta_of(obj)
        path = path_of(scheme.of_object(obj), meta.namespace, meta.name, subresource)
        options = meta_pb2.UpdateOptions(
            dryRun=dry_run_values(dry_run), fieldManager=field_manager, fieldValidation=field_validation
        )
        request = pb.UpdateRequest(path=path, object=scheme.pack(obj), options=options)
        answer = await self._transport.unary(UPDATE, request, timeout=CALL_SECONDS)
        return type(obj).FromString(answer.object.value)

    async def patch(
        self,
        resource: Resource[T],
        name: str,
        patch: bytes,
        patch_type: PatchType,
        namespace: str = "",
        *,
        subresource: str = "",
        dry_run: bool = False,
        field_manager: str = "",
        field_validation: str = "",
        force: bool | None = None,
    ) -> T:
        """Change a part of it. The server tries again where the object changes meanwhile, unless the patch has a
        resourceVersion. ``force`` is for PatchType.APPLY, which needs a ``field_manager``, and may create the object.

        Raises NotFound, BadRequest for a malformed patch, Invalid for one that does not apply, Conflict.
        """
        answer = await self._patch(
            path_of(resource, namespace, name, subresource),
            patch,
            patch_type,
            patch_options(dry_run, field_manager, field_validation, force),
        )
        return resource.message.FromString(answer.object.value)

    async def patch_scale(
        self,
        resource: Resource[Message],
        name: str,
        patch: bytes,
        patch_type: PatchType,
        namespace: str = "",
        *,
        dry_run: bool = False,
        field_manager: str = "",
        force: bool | None = None,
    ) -> autoscaling_pb2.Scale:
        """Change how many replicas there shall be; ``force`` takes them from another manager in server-side apply."""
        path = path_of(resource, namespace, name, "scale")
        answer = await self._patch(path, patch, patch_type, patch_options(dry_run, field_manager, force=force))
        return autoscaling_pb2.Scale.FromString(answer.object.value)

    async def _patch(
        self, path: pb.ResourcePath, patch: bytes, patch_type: PatchType, options: meta_pb2.PatchOptions
    ) -> pb.ObjectResponse:
        request = pb.PatchRequest(path=path, type=patch_type, patch=patch, options=options)
        return await self._transport.unary(PATCH, request, timeout=CALL_SECONDS)

    async def delete(
        self,
        resource: Resource[T],
        name: str,
        namespace: str = "",
        *,
        grace_period_seconds: int | None = None,
        propagation_policy: str | None = None,
        uid: str = "",
        resource_version: str = "",
        dry_run: bool = False,
    ) -> T | meta_pb2.Status:
        """Delete it. The answer is the object when it goes later (grace, finalizers), else a Status or its last state.

        ``uid`` and ``resource_version`` are preconditions: Conflict when they do not hold. Raises NotFound.
        """
        options = delete_options(grace_period_seconds, propagation_policy, uid, resource_version, dry_run)
        request = pb.DeleteRequest(path=path_of(resource, namespace, name), options=options)
        answer = await self._transport.unary(DELETE, request, timeout=CALL_SECONDS)
        if answer.object.Is(meta_pb2.Status.DESCRIPTOR):
            return meta_pb2.Status.FromString(answer.object.value)
        return resource.message.FromString(answer.object.value)

    async def delete_collection(
        self,
        resource: Resource[T],
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        grace_period_seconds: int | None = None,
        propagation_policy: str | None = None,
        dry_run: bool = False,
        seconds: float = LONG_SECONDS,
    ) -> TypedList[T]:
        """Delete all that match, piece by piece; the answer lists them. ``seconds`` are for all pieces together.

        A failure on the way says how many were deleted before it; Timeout when the time is over.
        """
        options = meta_pb2.ListOptions(labelSelector=label_selector, fieldSelector=field_selector, limit=PIECE)
        request = pb.DeleteCollectionRequest(
            path=path_of(resource, namespace),
            options=delete_options(grace_period_seconds, propagation_policy, dry_run=dry_run),
            list_options=options,
        )
        deadline = self.clock.monotonic() + seconds
        items: list[T] = []
        remaining = 0
        while True:
            rest = deadline - self.clock.monotonic()
            try:
                if rest <= 0:
                    raise Timeout(f"not done within {seconds:g} s")
                answer = await self._transport.unary(DELETE_COLLECTION, request, timeout=min(rest, PIECE_SECONDS))
            except ApiError as err:
                if not items:
                    raise
                progress = (
                    f"{len(items)} of {len(items) + remaining} {resource.plural} were deleted, then: {err.message}"
                )
                kept = {key: getattr(err, key) for key in ("name", "group", "kind", "uid", "causes")}
                raise type(err)(progress, **kept, retry_after_seconds=err.retry_after_seconds) from err
            items += decode_all(resource.message, [item.value for item in answer.items])
            remaining = answer.metadata.remainingItemCount
            continue_: str = getattr(answer.metadata, "continue")
            if not continue_:
                return TypedList(items=items, resource_version=answer.metadata.resourceVersion)
            setattr(request.list_options, "continue", continue_)

    async def bind(self, binding: core_pb2.Binding) -> None:
        """Give the pod that the binding names its node. Raises Conflict when it has one already."""
        meta = binding.metadata
        path = path_of(scheme.PODS, meta.namespace, meta.name, "binding")
        request = pb.CreateRequest(path=path, object=scheme.pack(binding))
        await self._transport.unary(CREATE, request, timeout=CALL_SECONDS)

    async def evict(self, eviction: policy_pb2.Eviction) -> None:
        """Delete the pod that the eviction names if its disruption budgets allow it. Raises TooManyRequests when they
        do not, NotFound."""
        meta = eviction.metadata
        path = path_of(scheme.PODS, meta.namespace, meta.name, "eviction")
        request = pb.CreateRequest(path=path, object=scheme.pack(eviction))
        await self._transport.unary(CREATE, request, timeout=CALL_SECONDS)

    async def get_scale(self, resource: Resource[Message], name: str, namespace: str = "") -> autoscaling_pb2.Scale:
        """Read how many replicas there are and shall be."""
        request = pb.GetRequest(path=path_of(resource, namespace, name, "scale"))
        answer = await self._transport.unary(GET, request, timeout=CALL_SECONDS)
        return autoscaling_pb2.Scale.FromString(answer.object.value)

    async def update_scale(
        self,
        resource: Resource[Message],
        name: str,
        namespace: str,
        scale: autoscaling_pb2.Scale,
        *,
        dry_run: bool = False,
    ) -> autoscaling_pb2.Scale:
        """Say how many replicas there shall be."""
        request = pb.UpdateRequest(
            path=path_of(resource, namespace, name, "scale"),
            object=scheme.pack(scale),
            options=meta_pb2.UpdateOptions(dryRun=dry_run_values(dry_run)),
        )
        answer = await self._transport.unary(UPDATE, request, timeout=CALL_SECONDS)
        return autoscaling_pb2.Scale.FromString(answer.object.value)

    async def finalize(self, namespace: core_pb2.Namespace) -> core_pb2.Namespace:
        """Replace a namespace's finalizers: the last one gone, the api-server removes it."""
        return await self._update(namespace, "finalize")

    # --- the rest

    async def pod_logs(
        self, namespace: str, name: str, options: core_pb2.PodLogOptions | None = None
    ) -> AsyncGenerator[bytes]:
        """Yield a container's log as it was written, in chunks; with ``follow`` until it ends."""
        request = pb.PodLogsRequest(namespace=namespace, name=name, options=options)
        chunks = self._transport.stream(POD_LOGS, request)
        try:
            async for chunk in chunks:
                yield chunk.data
        finally:
            await chunks.aclose()

    async def exec(self, namespace: str, name: str, options: core_pb2.PodExecOptions) -> CalledCommand:
        """Run a command in a container of a pod; it has begun when this returns. Closing it kills it."""
        call = await self._transport.duplex(POD_EXEC)
        return await self._begun(call, pb.PodExecRequest(namespace=namespace, name=name, options=options))

    async def attach(self, namespace: str, name: str, options: core_pb2.PodAttachOptions) -> CalledCommand:
        """Attach to the first process of a container of a pod, which goes on when this is closed."""
        call = await self._transport.duplex(POD_ATTACH)
        return await self._begun(call, pb.PodAttachRequest(namespace=namespace, name=name, options=options))

    async def _begun(self, call: Any, request: pb.PodExecRequest | pb.PodAttachRequest) -> CalledCommand:
        try:
            async with self.clock.timeout(COMMAND_SECONDS):
                return await remotecommand.begun(call, request)
        except TimeoutError as err:
            raise Timeout(f"the server has not reached the container of pod {request.name} in time") from err

    async def port_forward(self, namespace: str, name: str, port: int) -> Duplex:
        """Connect to a port of a pod. With port 0 nothing is connected: ``read`` then returns when the pod has ended.
        Raises what the api-server says of the pod; later errors are ForwardErrors."""
        call = await self._transport.duplex(POD_PORT_FORWARD)
        try:
            async with self.clock.timeout(CALL_SECONDS):
                return await begun(call, pb.PodPortForwardRequest(namespace=namespace, name=name, port=port))
        except TimeoutError as err:
            raise Timeout(f"the server has not connected to port {port} of pod {name} in time") from err

    async def server_version(self) -> pb.ServerVersionResponse:
        """Ask which version the api-server is."""
        return await self._transport.unary(SERVER_VERSION, pb.ServerVersionRequest(), timeout=CALL_SECONDS)

    async def server_resources(self) -> Sequence[meta_pb2.APIResource]:
        """Ask which resources it serves."""
        answer = await self._transport.unary(SERVER_RESOURCES, pb.ServerResourcesRequest(), timeout=CALL_SECONDS)
        return [*answer.resources]

    async def audit_records(
        self, resource: str, namespace: str, name: str, uid: str = ""
    ) -> AsyncGenerator[pb.AuditRecord]:
        """Yield the audit trail of one object, oldest first."""
        request = pb.AuditRecordsRequest(resource=resource, namespace=namespace, name=name, uid=uid)
        records = self._transport.stream(AUDIT_RECORDS, request, timeout=LIST_SECONDS)
        try:
            async for record in records:
                yield record
        finally:
            await records.aclose()


def _continue_of(metadata: meta_pb2.ListMeta) -> str:
    return getattr(metadata, "continue")  # a keyword in Python


def unpack(resource: Resource[T], wrapped: AnyMessage) -> T:
    """Decode an object that travels as ``Any``."""
    return resource.message.FromString(wrapped.value)

"""``kctl describe``: reads an object with all that belongs to it, and hands it to the function that describes it."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from kubelab.apimachinery.core.pods import ACTIVE_PODS
from kubelab.kctl import builder, visitor
from kubelab.kctl.command import Command
from kubelab.kctl.commonflags import ALL_NAMESPACES, FILENAME, RECURSIVE, SELECTOR, ResourceOptions
from kubelab.kctl.flags import Flag, UsageProblem
from kubelab.kctl.resource import ResourceTuple, Selection
from kubelab.kctl.session import Session

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from kubelab.api.coordination.v1 import coordination_pb2
    from kubelab.api.core.v1 import core_pb2
    from kubelab.client.client import Client

LEASE_NAMESPACE = "kube-node-lease"


@dataclass(frozen=True, slots=True)
class DescribeOptions(ResourceOptions):
    all_namespaces: bool
    show_events: bool


def _describe(session: Session, args: tuple[str, ...], options: DescribeOptions) -> int:
    if not args and not options.filename:
        raise UsageProblem(
            'You must specify the type of resource to describe. Use "kctl api-resources" for a complete list of '
            "supported resources."
        )
    selection = builder.build(
        session,
        args,
        options,
        selecting=bool(options.selector),
        all_namespaces=options.all_namespaces,
        whole_types=True,
    )
    describer = _Describer(session, options)
    return visitor.run(session, lambda client: describer.run(client, selection))


class _Describer:
    def __init__(self, session: Session, options: DescribeOptions) -> None:
        self._session = session
        self._namespace = "" if options.all_namespaces else session.namespace
        self._selector, self._show_events = options.selector, options.show_events
        self._described = 0

    async def run(self, client: Client, selection: Selection) -> visitor.Errors:
        from kubelab.apimachinery.meta import meta_of

        async def visit(item: ResourceTuple) -> None:
            async for obj in self._objects(client, item):
                text = await self._one(client, item, obj)
                by_prefix = item.name is not None and meta_of(obj).name != item.name
                if by_prefix:  # kubectl spaces these so
                    print(text, flush=True)
                else:
                    print(("\n\n" if self._described else "") + text, end="", flush=True)
                self._described += 1

        failed = await visitor.continue_on_error(selection.items, visit)
        if not self._described and not failed:
            where = f" in {self._namespace} namespace." if self._namespace else ""
            print(f"No resources found{where}", file=sys.stderr)
        return failed

    async def _objects(self, client: Client, item: ResourceTuple) -> AsyncIterator[Message]:
        """Yield the object of this name; if there is none, all whose names begin so."""
        from kubelab.apimachinery.errors import NotFound
        from kubelab.apimachinery.meta import meta_of

        namespace = item.namespace or self._namespace
        missing: NotFound | None = None
        if item.name is not None:
            try:
                yield await client.get(item.resource, item.name, namespace)
                return
            except NotFound as err:
                missing = err
        found = False
        async for page in client.pages(item.resource, namespace, label_selector=self._selector):
            for obj in page.items:
                if item.name is None or meta_of(obj).name.startswith(item.name):
                    found = True
                    yield obj
        if missing is not None and not found:
            raise missing

    async def _one(self, client: Client, item: ResourceTuple, obj: Message) -> str:
        from kubelab.kctl.describe import others, pods, services

        now = self._session.clock.time()
        kind = item.resource.kind
        if kind == "Namespace":
            return others.namespace(cast("core_pb2.Namespace", obj))
        if kind == "Secret":
            return others.secret(cast("core_pb2.Secret", obj))
        found = await self._events(client, item, obj) if self._show_events else None
        if kind == "Pod":
            return pods.describe(cast("core_pb2.Pod", obj), found, now)
        if kind == "Node":
            return await self._node(client, cast("core_pb2.Node", obj), found, now)
        if kind == "Service":
            endpoints = await self._endpoints(client, obj)
            return services.describe(cast("core_pb2.Service", obj), endpoints, found, now)
        if kind == "ReplicationController":
            rc = cast("core_pb2.ReplicationController", obj)
            return others.replication_controller(rc, await self._selected(client, rc), found, now)
        if kind == "Endpoints":
            return services.describe_endpoints(cast("core_pb2.Endpoints", obj), found, now)
        if kind == "ConfigMap":
            return others.config_map(cast("core_pb2.ConfigMap", obj), found, now)
        return others.generic(obj, found, now)

    async def _events(self, client: Client, item: ResourceTuple, obj: Message) -> Sequence[core_pb2.Event]:
        """Find what happened to the object: by its uid, and by the node's name, which kubelets use as its uid."""
        from kubelab.apimachinery.meta import meta_of
        from kubelab.apimachinery.scheme import EVENTS

        metadata = meta_of(obj)
        about = {"involvedObject.name": metadata.name, "involvedObject.namespace": metadata.namespace}
        about["involvedObject.kind"] = item.resource.kind
        uids = [metadata.uid] + ([metadata.name] if item.resource.kind == "Node" else [])
        found: dict[str, core_pb2.Event] = {}
        for uid in dict.fromkeys(uids):
            chosen = {**about, "involvedObject.uid": uid} if uid else about
            selector = ",".join(f"{key}={value}" for key, value in chosen.items())
            there = await client.list(EVENTS, metadata.namespace, field_selector=selector)
            found.update({f"{e.metadata.namespace}/{e.metadata.name}": e for e in there.items})
        return list(found.values())

    async def _node(
        self, client: Client, node: core_pb2.Node, found: Sequence[core_pb2.Event] | None, now: float
    ) -> str:
        from kubelab.apimachinery.errors import ApiError
        from kubelab.apimachinery.scheme import LEASES, PODS
        from kubelab.kctl.describe import nodes

        name = node.metadata.name
        lease: coordination_pb2.Lease | str
        try:
            lease = await client.get(LEASES, name, LEASE_NAMESPACE)
        except ApiError as err:
            lease = err.message
        running = f"spec.nodeName={name},{ACTIVE_PODS}"
        pods = await client.list(PODS, field_selector=running)
        return nodes.describe(node, lease, pods.items, found, now)

    async def _endpoints(self, client: Client, obj: Message) -> core_pb2.Endpoints | None:
        from kubelab.apimachinery.errors import NotFound
        from kubelab.apimachinery.meta import meta_of
        from kubelab.apimachinery.scheme import ENDPOINTS

        metadata = meta_of(obj)
        try:
            return await client.get(ENDPOINTS, metadata.name, metadata.namespace)
        except NotFound:
            return None

    async def _selected(self, client: Client, rc: core_pb2.ReplicationController) -> Sequence[core_pb2.Pod]:
        from kubelab.apimachinery.errors import BadRequest
        from kubelab.apimachinery.scheme import PODS

        selector = ",".join(f"{key}={value}" for key, value in sorted(rc.spec.selector.items()))
        try:
            return (await client.list(PODS, rc.metadata.namespace, label_selector=selector)).items if selector else []
        except BadRequest:  # labels that no pod can have, from before they were refused
            return []


DESCRIBE = Command(
    "describe",
    run=_describe,
    options=DescribeOptions,
    flags=(
        ALL_NAMESPACES,
        FILENAME,
        RECURSIVE,
        SELECTOR,
        Flag(
            "--show-events", kind="bool", default=True, help="If true, display events related to the described object."
        ),
    ),
    about="""\
Show details of a specific resource or group of resources.

 Print a detailed description of the selected resources, including related resources such as events or controllers. \
You may select a single object by name, all objects of that type, provide a name prefix, or label selector. For example:

        $ kctl describe TYPE NAME_PREFIX

 will first check for an exact match on TYPE and NAME_PREFIX. If no such resource exists, it will output details for \
every resource that has a name prefixed with NAME_PREFIX.

Use "kctl api-resources" for a complete list of supported resources.""",
    examples="""\
# Describe a node
kctl describe nodes node-1

# Describe a pod
kctl describe pods/web

# Describe all pods
kctl describe pods

# Describe pods by label name=myLabel
kctl describe pods -l name=myLabel
""",
    usage="kctl describe (-f FILENAME | TYPE [NAME_PREFIX | -l label] | TYPE/NAME)",
)

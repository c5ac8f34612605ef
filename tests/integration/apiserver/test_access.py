"""Who may do what: roles and bindings, the Node authoriser, NodeRestriction, strangers; and attacks that were seen."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from kubelab.api.coordination.v1 import coordination_pb2
from kubelab.api.core.v1 import core_pb2
from kubelab.api.rbac.v1 import rbac_pb2
from kubelab.apimachinery import errors, scheme
from kubelab.apimachinery.messages import deep_copy
from kubelab.client import requests
from kubelab.rpc.apiserver.v1 import apiserver_pb2 as pb


def pod(name: str, node: str = "", *, config_map: str = "") -> core_pb2.Pod:
    made = core_pb2.Pod()
    made.metadata.name, made.metadata.namespace = name, "default"
    made.spec.nodeName = node
    container = made.spec.containers.add(name="main", image="hello")
    if config_map:
        container.envFrom.add().configMapRef.localObjectReference.name = config_map
    return made


def named(kind: type[Any], name: str, namespace: str = "") -> Any:
    made = kind()
    made.metadata.name, made.metadata.namespace = name, namespace
    return made


async def test_a_stranger_may_ask_for_the_version_and_nothing_else(servers: Any) -> None:
    stranger = await servers.connect("jane", "people")
    assert (await stranger.server_version()).git_version.startswith("v1.")
    assert "pods" in [r.name for r in await stranger.server_resources()]
    with pytest.raises(errors.Forbidden) as told:
        await stranger.list(scheme.PODS, "default")
    assert told.value.message == (
        'pods is forbidden: User "jane" cannot list resource "pods" in API group "" in the namespace "default"'
    )
    with pytest.raises(errors.Forbidden) as told:
        await stranger.get(scheme.NODES, "node-1")
    assert told.value.message == (
        'nodes "node-1" is forbidden: User "jane" cannot get resource "nodes" in API group "" at the cluster scope'
    )
    with pytest.raises(errors.Forbidden, match=r'resource "leases" in API group "coordination.k8s.io"'):
        await stranger.create(named(coordination_pb2.Lease, "x"), "default")


async def test_the_scheduler_binds_but_changes_no_spec(servers: Any) -> None:
    scheduler = await servers.connect("system:kube-scheduler")
    made = await servers.a.create(pod("web"), "default")
    binding = core_pb2.Binding(target=core_pb2.ObjectReference(kind="Node", name="node-1"))
    binding.metadata.name, binding.metadata.namespace = "web", "default"
    await scheduler.bind(binding)
    with pytest.raises(errors.Forbidden, match=r'cannot update resource "pods"'):
        await scheduler.update(made)
    with pytest.raises(errors.Forbidden, match=r'cannot create resource "nodes"'):
        await scheduler.create(named(core_pb2.Node, "node-9"))


async def test_kube_proxy_reads_services_only(servers: Any) -> None:
    proxy = await servers.connect("system:kube-proxy")
    await proxy.list(scheme.SERVICES)
    await proxy.list(scheme.ENDPOINT_SLICES)
    with pytest.raises(errors.Forbidden):
        await proxy.list(scheme.SECRETS)


async def test_a_node_writes_itself_and_no_other(servers: Any) -> None:
    node = await servers.connect("system:node:node-1", "system:nodes")
    made = await node.create(named(core_pb2.Node, "node-1"))
    made.status.phase = "x"
    await node.update_status(made)
    await node.create(named(coordination_pb2.Lease, "node-1"), "kube-node-lease")
    with pytest.raises(errors.Forbidden) as told:
        await node.create(named(core_pb2.Node, "node-2"))
    assert told.value.message == ('nodes "node-2" is forbidden: node "node-1" is not allowed to modify node "node-2"')
    with pytest.raises(errors.Forbidden):
        await node.create(named(coordination_pb2.Lease, "node-2"), "kube-node-lease")
    with pytest.raises(errors.Forbidden):
        await node.create(named(coordination_pb2.Lease, "node-1"), "default")
    with pytest.raises(errors.Forbidden):
        await node.delete(scheme.NODES, "node-1")


async def test_a_node_does_not_draw_pods_to_itself(servers: Any) -> None:
    node = await servers.connect("system:node:node-1", "system:nodes")
    made = await node.create(named(core_pb2.Node, "node-1"))
    made.metadata.labels["disk"] = "ssd"
    made.metadata.labels["kubernetes.io/hostname"] = "node-1"
    made = await node.update(made)
    made.spec.taints.add(key="dedicated", effect="NoSchedule")
    made = await servers.b.update(made)

    async def refused(change: Callable[[core_pb2.Node], object]) -> str:
        wanted = deep_copy(made)
        change(wanted)
        with pytest.raises(errors.Forbidden) as told:
            await node.update(wanted)
        return told.value.message.removeprefix('nodes "node-1" is forbidden: ')

    assert await refused(lambda n: n.spec.ClearField("taints")) == 'node "node-1" is not allowed to modify taints'
    owner = core_pb2.Node().metadata.ownerReferences.add(apiVersion="v1", kind="Node", name="x", uid="x")
    assert await refused(lambda n: n.metadata.ownerReferences.append(owner)) == (
        'node "node-1" is not allowed to modify ownerReferences'
    )
    labels = {"node-role.kubernetes.io/control-plane": "", "a.node-restriction.kubernetes.io/b": "", "mine": ""}
    assert await refused(lambda n: n.metadata.labels.update(labels)) == (
        "is not allowed to modify labels: a.node-restriction.kubernetes.io/b, node-role.kubernetes.io/control-plane"
    )


async def test_a_node_sees_and_reports_on_its_own_pods(servers: Any) -> None:
    node = await servers.connect("system:node:node-1", "system:nodes", server=1)
    mine = await servers.a.create(pod("mine", "node-1"), "default")
    other = await servers.a.create(pod("other", "node-2"), "default")
    assert (await node.get(scheme.PODS, "mine", "default")).metadata.uid == mine.metadata.uid
    mine.status.phase = other.status.phase = "Running"
    await node.update_status(mine)
    with pytest.raises(errors.Forbidden) as told:
        await node.update_status(other)
    assert told.value.message == (
        'pods "other" is forbidden: node "node-1" can only update pod status for pods with spec.nodeName set to itself'
    )
    with pytest.raises(errors.Forbidden, match=r"no relationship found between node 'node-1' and this object"):
        await node.get(scheme.PODS, "other", "default")
    with pytest.raises(errors.Forbidden, match=r"can only list/watch pods with spec.nodeName field selector"):
        await node.list(scheme.PODS)
    listed = await node.list(scheme.PODS, field_selector="spec.nodeName=node-1")
    assert [p.metadata.name for p in listed.items] == ["mine"]
    for evasion in ("spec.nodeName!=node-2", "metadata.name=other", "metadata.name=mine"):
        with pytest.raises(errors.Forbidden, match=r"can only list/watch pods with spec.nodeName field selector"):
            await node.list(scheme.PODS, "default", field_selector=evasion)
    with pytest.raises(errors.Forbidden, match=r"can only delete pods with spec.nodeName set to itself"):
        await node.delete(scheme.PODS, "other", "default", grace_period_seconds=0)
    await node.delete(scheme.PODS, "mine", "default", grace_period_seconds=0)
    with pytest.raises(errors.Forbidden, match=r'node "node-1" can only create mirror pods'):
        await node.create(pod("own", "node-1"), "default")


async def test_a_node_reads_the_configuration_of_its_pods(servers: Any) -> None:
    node = await servers.connect("system:node:node-1", "system:nodes")
    for name in ("mine", "other"):
        await servers.a.create(named(core_pb2.ConfigMap, name, "default"))
    await servers.a.create(pod("web", "node-1", config_map="mine"), "default")
    assert (await node.get(scheme.CONFIG_MAPS, "mine", "default")).metadata.name == "mine"
    with pytest.raises(errors.Forbidden, match=r"no relationship found"):
        await node.get(scheme.CONFIG_MAPS, "other", "default")
    with pytest.raises(errors.Forbidden):
        await node.list(scheme.CONFIG_MAPS, "default")
    listed = await node.list(scheme.CONFIG_MAPS, "default", field_selector="metadata.name=mine")
    assert [one.metadata.name for one in listed.items] == ["mine"]
    with pytest.raises(errors.Forbidden, match=r"no relationship found"):
        await node.list(scheme.CONFIG_MAPS, "default", field_selector="metadata.name=other")


LIST, WATCH, CREATE, UPDATE, DELETE_COLLECTION = (
    requests.LIST,
    requests.WATCH,
    requests.CREATE,
    requests.UPDATE,
    requests.DELETE_COLLECTION,
)


async def test_a_node_does_not_read_all_secrets_by_a_name_in_the_path(servers: Any) -> None:
    """The path named a secret that a pod of the node uses, the answer had every secret."""
    node = await servers.connect("system:node:node-1", "system:nodes")
    for name in ("mine", "other"):
        await servers.a.create(named(core_pb2.Secret, name, "default"))
    web = pod("web", "node-1")
    web.spec.containers[0].envFrom.add().secretRef.localObjectReference.name = "mine"
    await servers.a.create(web, "default")
    assert (await node.get(scheme.SECRETS, "mine", "default")).metadata.name == "mine"
    path = pb.ResourcePath(resource="secrets", namespace="default", name="mine")
    refused = r'the verb list has no place for a name in the path \("mine"\)'
    with pytest.raises(errors.BadRequest, match=refused):
        await node._transport.unary(LIST, pb.ListRequest(path=path), timeout=10)
    with pytest.raises(errors.BadRequest, match=r"the verb watch has no place for a name"):
        async for _ in node._transport.stream(WATCH, pb.WatchRequest(path=path), timeout=10):
            pass
    with pytest.raises(errors.BadRequest, match=r"the verb deletecollection has no place for a name"):
        await servers.a._transport.unary(DELETE_COLLECTION, pb.DeleteCollectionRequest(path=path), timeout=10)
    listed = await node.list(scheme.SECRETS, "default", field_selector="metadata.name=mine")
    assert [one.metadata.name for one in listed.items] == ["mine"]
    watch = node.watch(scheme.SECRETS, "default", resource_version="0", field_selector="metadata.name=mine")
    assert (await anext(watch)).object.metadata.name == "mine"
    await watch.aclose()
    for selector in ("", "metadata.name=other", "metadata.name!=other", "metadata.name=mine,metadata.name!=mine"):
        allowed = selector.startswith("metadata.name=mine")
        try:
            assert (await node.list(scheme.SECRETS, "default", field_selector=selector)).items == []
        except errors.Forbidden:
            assert not allowed


async def test_a_node_writes_no_other_node_by_its_own_name_in_the_path(servers: Any) -> None:
    """The path named the node's own Node and Lease, the object another one, with a podCIDR that all nodes route to."""
    node = await servers.connect("system:node:node-1", "system:nodes")
    await node.create(named(core_pb2.Node, "node-1"))
    other = await servers.a.create(named(core_pb2.Node, "node-2"))
    evil = named(core_pb2.Node, "node-9")
    evil.spec.podCIDR = "10.244.2.0/24"
    lease = named(coordination_pb2.Lease, "node-9", "kube-node-lease")
    for obj, method, path in (
        (evil, CREATE, pb.ResourcePath(resource="nodes", name="node-1")),
        (
            lease,
            CREATE,
            pb.ResourcePath(group="coordination.k8s.io", resource="leases", namespace="kube-node-lease", name="node-1"),
        ),
        (other, UPDATE, pb.ResourcePath(resource="nodes", name="node-1")),
        (other, UPDATE, pb.ResourcePath(resource="nodes", name="node-1", subresource="status")),
    ):
        with pytest.raises(errors.BadRequest):
            await node._transport.unary(method, method.request(path=path, object=scheme.pack(obj)), timeout=10)
    with pytest.raises(errors.Forbidden, match=r'node "node-1" is not allowed to modify node "node-9"'):
        await node.create(evil)
    with pytest.raises(errors.Forbidden, match=r'node "node-1" is not allowed to modify node "node-2"'):
        await node.update(other)
    assert {n.metadata.name for n in (await servers.b.list(scheme.NODES)).items} == {"node-1", "node-2"}


async def test_a_node_gives_itself_no_addresses_for_pods(servers: Any) -> None:
    node = await servers.connect("system:node:node-1", "system:nodes")
    mine = named(core_pb2.Node, "node-1")
    mine.spec.podCIDR = "10.244.2.0/24"
    with pytest.raises(errors.Forbidden, match=r'node "node-1" is not allowed to set podCIDRs'):
        await node.create(mine)
    made = await node.create(named(core_pb2.Node, "node-1"))
    made.spec.podCIDRs.append("10.244.2.0/24")
    with pytest.raises(errors.Forbidden, match=r'node "node-1" is not allowed to modify podCIDRs'):
        await node.update(made)
    made = await servers.b.update(made)
    made.metadata.annotations["seen"] = "yes"
    assert (await node.update(made)).spec.podCIDR == "10.244.2.0/24"  # what it was given may stay


async def test_the_scheduler_changes_no_lease_but_its_own(servers: Any) -> None:
    """With upstream's role it may create any; the garbage collector may change all."""
    caller = await servers.connect("system:kube-scheduler")
    own = await caller.create(named(coordination_pb2.Lease, "kube-scheduler", "kube-system"))
    own.spec.holderIdentity = "me"
    await caller.update(own)
    for name, namespace in (("kube-controller-manager", "kube-system"), ("node-1", "kube-node-lease")):
        theirs = await servers.a.create(named(coordination_pb2.Lease, name, namespace))
        with pytest.raises(errors.Forbidden, match=r'cannot update resource "leases"'):
            await caller.update(theirs)
        with pytest.raises(errors.Forbidden, match=r'cannot delete resource "leases"'):
            await caller.delete(scheme.LEASES, name, namespace)


@pytest.mark.parametrize(
    ("path_name", "path_namespace", "name", "namespace", "told"),
    [
        ("web", "default", "api", "", "the name of the object (api) does not match the name on the URL (web)"),
        (
            "web",
            "default",
            "",
            "",
            "the name of the object (web based on URL) was undeterminable: name must be provided",
        ),
        (
            "web",
            "default",
            "web",
            "other",
            "the namespace of the provided object does not match the namespace sent on the request",
        ),
        ("", "default", "web", "", "Name parameter required."),
        ("web", "", "web", "", "Namespace parameter required."),
        ("..", "default", "..", "", "Name parameter invalid: \"..\": may not be '..'"),
        ("a/b", "default", "a/b", "", "Name parameter invalid: \"a/b\": may not contain '/'"),
        ("b", "default/a", "b", "", "Namespace parameter invalid: \"default/a\": may not contain '/'"),
    ],
)
async def test_an_update_is_of_the_object_in_its_path(
    servers: Any, path_name: str, path_namespace: str, name: str, namespace: str, told: str
) -> None:
    path = pb.ResourcePath(resource="configmaps", namespace=path_namespace, name=path_name)
    wanted = scheme.pack(named(core_pb2.ConfigMap, name, namespace))
    with pytest.raises(errors.BadRequest) as err:
        await servers.a._transport.unary(UPDATE, pb.UpdateRequest(path=path, object=wanted), timeout=10)
    assert err.value.message == told


async def test_the_node_of_a_control_plane_is_labelled_by_its_api_server(servers: Any) -> None:
    label = "node-role.kubernetes.io/control-plane"
    node = await servers.connect("system:node:cp-2", "system:nodes")
    wanted = named(core_pb2.Node, "cp-2")
    wanted.metadata.labels[label] = ""
    with pytest.raises(errors.Forbidden, match=rf'node "cp-2" is not allowed to set the following labels: {label}'):
        await node.create(wanted)
    await node.create(named(core_pb2.Node, "cp-2"))
    await servers.a.create(named(core_pb2.Node, "node-1"))
    watch = servers.a.watch(scheme.NODES, resource_version="0", field_selector="metadata.name=cp-2")
    async with asyncio.timeout(10):
        while label not in (await anext(watch)).object.metadata.labels:
            pass
    await watch.aclose()
    assert label not in (await servers.a.get(scheme.NODES, "node-1")).metadata.labels


async def test_the_trail_tells_who_did_what(servers: Any) -> None:
    scheduler = await servers.connect("system:kube-scheduler", process="scheduler@cp-1")
    made = await servers.a.create(pod("web"), "default")
    binding = core_pb2.Binding(target=core_pb2.ObjectReference(kind="Node", name="node-1"))
    binding.metadata.name, binding.metadata.namespace = "web", "default"
    await scheduler.bind(binding)
    with pytest.raises(errors.AlreadyExists):
        await servers.b.create(pod("web"), "default")
    records: list[Any] = []
    async with asyncio.timeout(10):  # a refusal is recorded just after it is told
        while len(records) < 3:
            await servers.apis[1].audit.flush()
            records = [r async for r in servers.a.audit_records("pods", "default", "web")]
    told = [(r.verb, r.subresource, r.code, r.user, r.process) for r in records]
    assert told == [
        ("create", "", "OK", "kubernetes-admin", "api-server@cp-1"),
        ("create", "binding", "OK", "system:kube-scheduler", "api-server@cp-1"),
        ("create", "", "ALREADY_EXISTS", "kubernetes-admin", "api-server@cp-2"),
    ]
    created, bound, _ = records
    assert [(r.caller, r.claimed) for r in records] == [("", "test"), ("scheduler@cp-1", "test"), ("", "test")]
    assert (created.uid, created.resource_version) == (made.metadata.uid, made.metadata.resourceVersion)
    assert bound.detail == "node-1"
    assert int(bound.resource_version) > int(created.resource_version)
    assert 0 < created.store_nano < created.duration_nano
    assert len(created.trace_id) == 32
    assert created.parent_span_id


async def refused(call: Callable[[], Awaitable[object]]) -> None:
    """Wait until a call is Forbidden."""
    async with asyncio.timeout(10):
        while True:
            try:
                await call()
            except errors.Forbidden:
                return


async def test_what_a_role_gives_counts_at_the_next_request_at_every_server(servers: Any) -> None:
    jane = [await servers.connect("jane", "people", server=n) for n in (0, 1)]
    role, binding = named(rbac_pb2.Role, "reader", "default"), named(rbac_pb2.RoleBinding, "readers", "default")
    role.rules.add(verbs=["list"], apiGroups=[""], resources=["pods"])
    binding.roleRef.kind, binding.roleRef.name = "Role", "reader"
    binding.subjects.add(kind="Group", name="people")
    await servers.a.create(role, "default")
    for _ in range(10):
        await servers.a.create(binding, "default")
        for client in jane:
            await client.list(scheme.PODS, "default")
        await servers.b.delete(scheme.ROLE_BINDINGS, "readers", "default")
        for client in jane:  # a server may allow what it has not yet heard is over
            await refused(lambda: client.list(scheme.PODS, "default"))  # noqa: B023

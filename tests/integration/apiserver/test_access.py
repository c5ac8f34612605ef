"""Who may do what: bootstrap roles, the node authoriser, and callers nobody knows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from kubelab.api.coordination.v1 import coordination_pb2
from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import errors, scheme


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
    await proxy.list(scheme.ENDPOINTS)
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
        wanted = core_pb2.Node()
        wanted.CopyFrom(made)
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
    with pytest.raises(errors.Forbidden, match=r"can only delete pods with spec.nodeName set to itself"):
        await node.delete(scheme.PODS, "other", "default", grace_period_seconds=0)
    await node.delete(scheme.PODS, "mine", "default", grace_period_seconds=0)
    with pytest.raises(errors.Forbidden):
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


async def test_the_trail_tells_who_did_what(servers: Any) -> None:
    scheduler = await servers.connect("system:kube-scheduler")
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
    assert (created.uid, created.resource_version) == (made.metadata.uid, made.metadata.resourceVersion)
    assert bound.detail == "node-1"
    assert int(bound.resource_version) > int(created.resource_version)
    assert 0 < created.store_nano < created.duration_nano
    assert len(created.trace_id) == 32
    assert created.parent_span_id

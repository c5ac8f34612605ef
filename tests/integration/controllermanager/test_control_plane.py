"""Schedulers and controller-managers on a real api-server and a real etcd."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from google.protobuf.message import Message

from kubelab.api.core.v1 import core_pb2
from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery.scheme import (
    CONFIG_MAPS,
    ENDPOINTS,
    EVENTS,
    LEASES,
    NAMESPACES,
    NODES,
    PODS,
    REPLICATION_CONTROLLERS,
    Resource,
)
from kubelab.client.client import Client
from tests.support import objects as make

M = TypeVar("M", bound=Message)
Stop = Callable[[], Awaitable[None]]


class Plane(Protocol):
    """The fixture's class, as far as it is used here: conftest.py is no module that could be imported."""

    admin: Client

    async def start_scheduler(self, name: str = ...) -> Stop: ...
    async def start_controllers(self, name: str = ..., *, grace: float = ...) -> Stop: ...
    async def start_kubelets(self) -> None: ...
    async def add_node(self, name: str) -> None: ...
    async def post_status(self, name: str, status: core_pb2.NodeStatus) -> None: ...
    async def nodes(self) -> dict[str, core_pb2.Node]: ...
    async def until(
        self, resource: Resource[M], condition: Callable[[list[M]], object], namespace: str = ...
    ) -> None: ...


def bare(rc: core_pb2.ReplicationController) -> core_pb2.ReplicationController:
    """As a user writes it."""
    rc.metadata.uid, rc.metadata.generation = "", 0
    return rc


def living(pods: list[core_pb2.Pod]) -> list[core_pb2.Pod]:
    return [pod for pod in pods if not pod.metadata.HasField("deletionTimestamp")]


async def three_nodes(plane: Plane) -> None:
    for name in ("node-1", "node-2", "node-3"):
        await plane.add_node(name)


async def test_twenty_pods_end_to_end_with_two_of_each_and_the_leaders_dying(plane: Plane) -> None:
    await three_nodes(plane)
    await plane.start_kubelets()
    stop_controllers = await plane.start_controllers("controller-manager@cp-1")
    stop_scheduler = await plane.start_scheduler("scheduler@cp-1")
    rc = make.replication_controller("web", replicas=20)
    await plane.admin.create(make.service("web"))
    await plane.admin.create(bare(rc))
    await plane.until(
        REPLICATION_CONTROLLERS, lambda found: found and found[0].status.availableReplicas == 20 and found
    )
    pods = (await plane.admin.list(PODS, "default")).items
    spread = Counter(pod.spec.nodeName for pod in pods)
    assert sorted(spread.values()) == [6, 7, 7]
    await plane.until(ENDPOINTS, lambda found: any(_addresses(e) == 20 for e in found if e.metadata.name == "web"))
    lease = await plane.admin.get(LEASES, "kube-controller-manager", "kube-system")
    assert lease.spec.holderIdentity == "controller-manager@cp-1"

    await plane.start_controllers("controller-manager@cp-2")
    await plane.start_scheduler("scheduler@cp-2")
    await stop_controllers()
    await stop_scheduler()
    for pod in pods[:5]:
        await plane.admin.delete(PODS, pod.metadata.name, "default")
    gone = {pod.metadata.uid for pod in pods[:5]}
    await plane.until(
        PODS,
        lambda found: (
            len(found) == 20 and all(pod.status.phase == "Running" and pod.metadata.uid not in gone for pod in found)
        ),
    )
    events = (await plane.admin.list(EVENTS, "default")).items
    reasons = Counter(event.reason for event in events)
    assert reasons["Scheduled"] >= 20
    assert reasons["SuccessfulCreate"] >= 1
    scheduled = next(event for event in events if event.reason == "Scheduled")
    assert scheduled.message.startswith("Successfully assigned default/web-")


def _addresses(endpoints: core_pb2.Endpoints) -> int:
    return sum(len(subset.addresses) for subset in endpoints.subsets)


async def test_scaling_and_deleting_a_controller(plane: Plane) -> None:
    await three_nodes(plane)
    await plane.start_kubelets()
    await plane.start_controllers()
    await plane.start_scheduler()
    await plane.admin.create(bare(make.replication_controller("web", replicas=3)))
    await plane.until(PODS, lambda found: [p.status.phase for p in found] == ["Running"] * 3)
    scale = await plane.admin.get_scale(REPLICATION_CONTROLLERS, "web", "default")
    scale.spec.replicas, scale.metadata.resourceVersion = 1, ""
    await plane.admin.update_scale(REPLICATION_CONTROLLERS, "web", "default", scale)
    await plane.until(PODS, lambda found: len(found) == 1)
    await plane.admin.delete(REPLICATION_CONTROLLERS, "web", "default", propagation_policy="Background")
    await plane.until(PODS, lambda found: not found)


async def test_foreground_and_orphan_deletion(plane: Plane) -> None:
    await three_nodes(plane)
    await plane.start_kubelets()
    await plane.start_controllers()
    for name in ("front", "orphaned"):
        await plane.admin.create(bare(make.replication_controller(name, replicas=2)))
    await plane.until(PODS, lambda found: len(found) == 4)
    await plane.admin.delete(REPLICATION_CONTROLLERS, "front", "default", propagation_policy="Foreground")
    await plane.admin.delete(REPLICATION_CONTROLLERS, "orphaned", "default", propagation_policy="Orphan")
    await plane.until(REPLICATION_CONTROLLERS, lambda found: not found)
    await plane.until(PODS, lambda found: len(found) == 2 and not any(pod.metadata.ownerReferences for pod in found))


async def test_a_namespace_goes_with_everything_inside(plane: Plane) -> None:
    await three_nodes(plane)
    await plane.start_kubelets()
    await plane.start_controllers()
    await plane.start_scheduler()
    await plane.admin.create(core_pb2.Namespace(metadata=meta_pb2.ObjectMeta(name="doomed")))
    await plane.admin.create(bare(make.replication_controller("web", namespace="doomed", replicas=3)))
    await plane.admin.create(make.service("web", namespace="doomed"))
    await plane.admin.create(
        core_pb2.ConfigMap(metadata=meta_pb2.ObjectMeta(namespace="doomed", name="c"), data={"k": "v"})
    )
    await plane.until(PODS, lambda found: [p.status.phase for p in found] == ["Running"] * 3, "doomed")
    await plane.admin.delete(NAMESPACES, "doomed")
    await plane.until(NAMESPACES, lambda found: "doomed" not in {n.metadata.name for n in found}, "")
    for resource in (PODS, REPLICATION_CONTROLLERS, CONFIG_MAPS):
        assert (await plane.admin.list(resource, "doomed")).items == []


async def test_a_silent_node_is_emptied_and_its_pods_finally_go(plane: Plane) -> None:
    await plane.add_node("silent")
    await plane.start_controllers(grace=2)
    await plane.start_scheduler()
    await plane.start_kubelets()
    impatient = core_pb2.Toleration(
        key="node.kubernetes.io/unreachable", operator="Exists", effect="NoExecute", tolerationSeconds=0
    )
    rc = make.replication_controller("web", replicas=2)
    rc.spec.template.spec.tolerations.append(impatient)
    await plane.admin.create(bare(rc))
    await plane.until(PODS, lambda found: len(found) == 2 and all(p.spec.nodeName for p in found))
    await plane.add_node("node-1")

    async def beat() -> None:
        """Be node-1's kubelet."""
        clock = plane.admin.clock
        while True:
            status = make.node("node-1").status
            status.conditions[0].lastHeartbeatTime.seconds = int(clock.time())
            await plane.post_status("node-1", status)
            await clock.sleep(0.5)

    async with asyncio.TaskGroup() as group:
        heart = group.create_task(beat())
        await plane.until(NODES, lambda found: _taints(found, "silent") == {"NoSchedule", "NoExecute"}, "")
        await plane.until(PODS, lambda found: [p.spec.nodeName for p in living(found)] == ["node-1", "node-1"])
        assert _taints([*(await plane.nodes()).values()], "node-1") == set()
        await plane.admin.delete(NODES, "silent")
        await plane.until(PODS, lambda found: len(found) == 2)
        heart.cancel()
    ranges = [node.spec.podCIDR for node in (await plane.nodes()).values()]
    assert ranges == ["10.244.1.0/24"]


def _taints(nodes: list[core_pb2.Node], name: str) -> set[str]:
    return {taint.effect for node in nodes if node.metadata.name == name for taint in node.spec.taints}

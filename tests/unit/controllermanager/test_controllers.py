"""The whole controller-manager over an api-server in memory."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager

import pytest
import structlog
from prometheus_client import CollectorRegistry

from kubelab.api.coordination.v1 import coordination_pb2
from kubelab.api.core.v1 import core_pb2
from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery import errors, taints
from kubelab.apimachinery.scheme import (
    CONFIG_MAPS,
    ENDPOINTS,
    EVENTS,
    LEASES,
    NAMESPACES,
    NODES,
    PODS,
    REPLICATION_CONTROLLERS,
    SERVICES,
)
from kubelab.client.events import EventRecorder
from kubelab.client.workqueue import WorkQueue
from kubelab.component.environment import Environment
from kubelab.component.leading import LeaderElectionConfig
from kubelab.controllermanager import __main__ as component
from kubelab.controllermanager.config import ControllerManagerConfig
from kubelab.controllermanager.context import ControllerContext
from kubelab.controllermanager.informers import SharedInformers
from kubelab.controllermanager.nodeipam import CidrPool, NodeIpamController
from tests.support import objects as make
from tests.support.apiserver import FakeApiServer
from tests.support.clock import FakeClock

Run = Callable[..., AbstractAsyncContextManager[None]]


@pytest.fixture
def running() -> Run:
    @contextlib.asynccontextmanager
    async def run(
        server: FakeApiServer, *controllers: str, clock: FakeClock | None = None, elect: bool = False
    ) -> AsyncGenerator[None]:
        config = ControllerManagerConfig(
            name="controller-manager@test",
            controllers=list(controllers) or ["*"],
            leader_election=LeaderElectionConfig(leader_elect=elect),
        )
        env = Environment(config, "controller-manager", clock=clock, make_client=server.client)
        async with env.client() as client:
            task = asyncio.ensure_future(component.work(config, env, client))
            try:
                yield
                assert not task.done()
            finally:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    return run


def pods(server: FakeApiServer, *, leaving: bool = False) -> list[core_pb2.Pod]:
    return [p for p in server.objects(PODS) if p.metadata.HasField("deletionTimestamp") is leaving]


def events(server: FakeApiServer, reason: str) -> list[core_pb2.Event]:
    return [event for event in server.objects(EVENTS) if event.reason == reason]


def run_all(server: FakeApiServer) -> None:
    """Do a kubelet's part: every pod runs and is ready."""
    for pod in server.objects(PODS):
        if pod.status.phase == "Pending":
            pod.status.phase, pod.status.podIP = "Running", f"10.244.0.{pod.metadata.uid.removeprefix('uid-')}"
            pod.status.conditions.add(type="Ready", status="True")
            server.add(pod)


def status(server: FakeApiServer, key: str = "default/web") -> core_pb2.ReplicationControllerStatus:
    rc = server.get(REPLICATION_CONTROLLERS, key)
    assert rc is not None
    return rc.status


def lease(name: str, renewed: float) -> coordination_pb2.Lease:
    made = coordination_pb2.Lease()
    made.metadata.namespace, made.metadata.name = "kube-node-lease", name
    made.spec.renewTime.seconds = int(renewed)
    return made


# --- replication controllers


async def test_pods_are_created_counted_replaced_and_scaled_down(running: Run) -> None:
    server = FakeApiServer()
    rc = make.replication_controller("web", replicas=20)
    server.add(rc)
    async with running(server, "replicationcontroller", elect=True):
        await server.until(lambda: status(server).replicas == 20)
        run_all(server)
        await server.until(lambda: status(server).availableReplicas == 20)
        assert len(pods(server)) == 20
        assert {p.metadata.ownerReferences[0].uid for p in pods(server)} == {rc.metadata.uid}
        server.remove(PODS, f"default/{pods(server)[0].metadata.name}")
        await server.until(lambda: len(pods(server)) == 20 and status(server).readyReplicas == 19)
        smaller = server.get(REPLICATION_CONTROLLERS, "default/web")
        assert smaller is not None
        smaller.spec.replicas = 3
        server.add(smaller)
        await server.until(lambda: status(server).replicas == 3)
    assert len(pods(server)) == 3
    assert len(server.calls_of("create", PODS)) == 21
    assert events(server, "SuccessfulCreate")
    assert any(e.message.startswith("Deleted pod: web-") for e in events(server, "SuccessfulDelete"))


async def test_orphans_are_adopted_and_strays_released(running: Run) -> None:
    server = FakeApiServer()
    rc = make.replication_controller("web", replicas=2)
    stray = make.pod("stray", owner=make.controlled_by(rc), labels={"app": "other"})
    server.add(rc, make.pod("orphan", labels={"app": "web"}), stray)
    async with running(server, "replicationcontroller"):
        await server.until(lambda: status(server).replicas == 2)
    orphan, released = server.get(PODS, "default/orphan"), server.get(PODS, "default/stray")
    assert orphan is not None
    assert released is not None
    assert [ref.uid for ref in orphan.metadata.ownerReferences] == [rc.metadata.uid]
    assert [*released.metadata.ownerReferences] == []


async def test_a_creation_that_is_refused_is_told_and_tried_again(running: Run) -> None:
    server = FakeApiServer()
    server.fail(errors.Forbidden("no room for it"), verb="create", resource="pods", times=2)
    server.add(make.replication_controller("web", replicas=4))
    async with running(server, "replicationcontroller"):
        await server.until(lambda: status(server).replicas == 4)
        await server.until(lambda: events(server, "FailedCreate"))
        await server.until(lambda: not status(server).conditions)
    assert len(pods(server)) == 4
    assert events(server, "FailedCreate")[0].message == "Error creating: no room for it"


def touch(server: FakeApiServer, *, replicas: int | None = None) -> None:
    """Bring the controller's key, by a change that its own watch tells at once."""
    rc = server.get(REPLICATION_CONTROLLERS, "default/web")
    assert rc is not None
    rc.metadata.annotations["touched"] = str(server.revision)
    if replicas is not None:
        rc.spec.replicas = replicas
    server.add(rc)


async def test_nothing_is_created_or_deleted_twice_while_the_watch_is_slow(running: Run) -> None:
    clock = FakeClock()
    server = FakeApiServer(clock=clock)
    server.hold_watches(PODS)
    server.add(make.replication_controller("web", replicas=3))
    async with running(server, "replicationcontroller", clock=clock):
        await clock.settle()
        for _ in range(5):
            touch(server)
            await clock.advance(2)
        assert len(server.calls_of("create", PODS)) == 3
        server.release_watches(PODS)
        await clock.advance(2)
        run_all(server)
        await clock.advance(2)
        server.hold_watches(PODS)
        for _ in range(5):
            touch(server, replicas=1)
            await clock.advance(2)
        assert len(server.calls_of("delete", PODS)) == 2
        server.release_watches(PODS)
        await clock.advance(2)
    assert (len(server.calls_of("create", PODS)), len(server.calls_of("delete", PODS))) == (3, 2)
    assert status(server).readyReplicas == 1


async def test_pods_that_went_before_they_were_seen_are_replaced(running: Run) -> None:
    clock = FakeClock()
    server = FakeApiServer(clock=clock)
    server.hold_watches(PODS)
    server.add(make.replication_controller("web", replicas=3))
    async with running(server, "replicationcontroller", clock=clock):
        await clock.settle()
        for pod in pods(server):
            server.remove(PODS, f"default/{pod.metadata.name}")
        touch(server)
        await clock.settle()
        server.compact()
        server.break_watches(errors.Expired("too old resource version"))
        server.release_watches(PODS)  # what is listed now never had the three
        await clock.advance(3)
    assert len(pods(server)) == 3


async def test_nothing_is_adopted_for_a_controller_that_is_gone(running: Run) -> None:
    clock = FakeClock()
    server = FakeApiServer(clock=clock)
    server.add(make.replication_controller("web", replicas=1))
    async with running(server, "replicationcontroller", clock=clock):
        await clock.settle()
        (made,) = pods(server)
        server.hold_watches(REPLICATION_CONTROLLERS)  # nobody hears that it goes
        server.remove(REPLICATION_CONTROLLERS, "default/web")
        server.add(make.pod("orphan", labels={"app": "web"}))
        await clock.advance(2)
        made.metadata.annotations["touched"] = ""
        server.add(made)
        await clock.advance(2)
        orphan = server.get(PODS, "default/orphan")
    assert orphan is not None
    assert [*orphan.metadata.ownerReferences] == []


async def test_a_template_that_no_pod_can_be_made_of_is_tried_with_back_off(running: Run) -> None:
    clock = FakeClock()
    server = FakeApiServer(clock=clock)
    for n in range(500):  # each refusal names another pod
        told = f'pods "web-{n}" is forbidden: no PriorityClass with name nope was found'
        server.fail(errors.Forbidden(told), verb="create", resource="pods")
    server.add(make.replication_controller("web", replicas=1))
    async with running(server, "replicationcontroller", clock=clock):
        await clock.settle()
        await clock.advance(60)
    (condition,) = status(server).conditions
    assert (condition.reason, condition.status) == ("FailedCreate", "True")
    assert len(server.calls_of("update", REPLICATION_CONTROLLERS)) == 1
    assert 10 < len(server.calls_of("create", PODS)) < 25


# --- endpoints


async def test_endpoints_follow_the_ready_pods_and_go_with_the_service(running: Run) -> None:
    server = FakeApiServer()
    server.add(make.service("web"), make.service("manual", selector={}))
    server.add(core_pb2.Endpoints(metadata=meta_pb2.ObjectMeta(namespace="default", name="manual")))
    server.add(core_pb2.Endpoints(metadata=meta_pb2.ObjectMeta(namespace="default", name="left-behind")))
    server.add(make.pod("a", labels={"app": "web"}, ip="10.244.0.1", ready=True, phase="Running"))

    def addresses() -> tuple[list[str], list[str]]:
        endpoints = server.get(ENDPOINTS, "default/web")
        subsets = endpoints.subsets if endpoints is not None else []
        return ([a.ip for s in subsets for a in s.addresses], [a.ip for s in subsets for a in s.notReadyAddresses])

    async with running(server, "endpoints"):
        await server.until(lambda: addresses() == (["10.244.0.1"], []))
        await server.until(lambda: server.get(ENDPOINTS, "default/left-behind") is None)
        server.add(make.pod("b", labels={"app": "web"}, ip="10.244.0.2", ready=False, phase="Running"))
        await server.until(lambda: addresses() == (["10.244.0.1"], ["10.244.0.2"]))
        server.remove(PODS, "default/a")
        await server.until(lambda: addresses() == ([], ["10.244.0.2"]))
        server.remove(SERVICES, "default/web")
        await server.until(lambda: server.get(ENDPOINTS, "default/web") is None)
    assert server.get(ENDPOINTS, "default/manual") is not None
    assert not [c for c in server.calls if c.resource == "endpoints" and c.name == "manual"]


async def test_endpoints_are_right_as_soon_as_the_watch_tells_of_their_creation(running: Run) -> None:
    server, clock = FakeApiServer(), FakeClock()
    server.hold_watches(ENDPOINTS)
    server.add(make.service("web"))
    async with running(server, "endpoints", clock=clock):
        await clock.settle()
        server.add(make.pod("a", labels={"app": "web"}, ip="10.244.0.1", ready=True, phase="Running"))
        await clock.advance(0.5)
        server.release_watches(ENDPOINTS)
        await clock.settle()
    endpoints = server.get(ENDPOINTS, "default/web")
    assert endpoints is not None
    assert [a.ip for a in endpoints.subsets[0].addresses] == ["10.244.0.1"]


async def test_endpoints_that_went_before_they_were_seen_are_made_again(running: Run) -> None:
    server, clock = FakeApiServer(), FakeClock()
    server.hold_watches(ENDPOINTS)
    server.add(make.service("web"))
    async with running(server, "endpoints", clock=clock):
        await clock.settle()
        server.remove(ENDPOINTS, "default/web")
        server.add(make.pod("a", labels={"app": "web"}, ip="10.244.0.1", ready=True, phase="Running"))
        await clock.advance(0.5)
        server.compact()
        server.break_watches(errors.Expired("too old resource version"))
        server.release_watches(ENDPOINTS)
        await clock.advance(3)
    assert server.get(ENDPOINTS, "default/web") is not None


async def test_endpoints_without_a_service_are_their_owners_while_somebody_watches(running: Run) -> None:
    server, clock = FakeApiServer(), FakeClock()
    mine = core_pb2.Endpoints(metadata=meta_pb2.ObjectMeta(namespace="default", name="mine"))
    async with running(server, "endpoints", clock=clock):
        await clock.settle()
        for n in range(2):
            mine.metadata.labels["n"] = str(n)
            server.add(mine)
            await clock.advance(2)
    assert server.get(ENDPOINTS, "default/mine") is not None


async def test_endpoints_are_not_deleted_because_their_service_is_not_seen_yet(running: Run) -> None:
    server, clock = FakeApiServer(), FakeClock()
    server.hold_watches(SERVICES)
    async with running(server, "endpoints", clock=clock):
        await clock.settle()
        server.add(make.service("manual", selector={}))
        server.add(core_pb2.Endpoints(metadata=meta_pb2.ObjectMeta(namespace="default", name="manual")))
        async with server.client() as client:
            await client.delete(ENDPOINTS, "manual", "default")  # its deletion brings the key
        server.add(core_pb2.Endpoints(metadata=meta_pb2.ObjectMeta(namespace="default", name="manual")))
        await clock.advance(2)
    assert server.get(ENDPOINTS, "default/manual") is not None


async def test_changes_at_once_are_one_write(running: Run) -> None:
    server, clock = FakeApiServer(), FakeClock()
    server.add(make.service("web"))
    async with running(server, "endpoints", clock=clock):
        await clock.settle()
        await server.until(lambda: server.get(ENDPOINTS, "default/web") is not None)
        server.add(*(make.pod(f"p{n}", labels={"app": "web"}, ip=f"10.244.0.{n + 1}", ready=True) for n in range(50)))
        await clock.settle()
        await clock.advance(1)
    endpoints = server.get(ENDPOINTS, "default/web")
    assert endpoints is not None
    assert len(endpoints.subsets[0].addresses) == 50
    assert len(server.calls_of("update", ENDPOINTS)) == 1


# --- namespaces


async def test_a_namespace_is_emptied_gracefully_before_it_goes(running: Run) -> None:
    server = FakeApiServer()
    doomed = core_pb2.Namespace()
    doomed.metadata.name = "doomed"
    doomed.metadata.deletionTimestamp.seconds = 1
    doomed.spec.finalizers.append("kubernetes")
    doomed.status.phase = "Terminating"
    config = core_pb2.ConfigMap(metadata=meta_pb2.ObjectMeta(namespace="doomed", name="c"))
    held, slow = lease("l", 0), make.pod("slow", namespace="doomed", node="node-1", phase="Running")
    held.metadata.namespace = "doomed"
    for obj in (held, slow):
        obj.metadata.finalizers.append("example.com/slow")
    server.add(doomed, config, held, slow, make.pod("safe"))
    async with running(server, "namespace"):
        await server.until(lambda: pods(server, leaving=True))
        await server.until(lambda: server.get(CONFIG_MAPS, "doomed/c") is None)
        left = server.get(NAMESPACES, "doomed")
        assert left is not None
        assert [*left.spec.finalizers] == ["kubernetes"]
        await server.until(lambda: (server.get(NAMESPACES, "doomed") or doomed).status.conditions)
        told = (server.get(NAMESPACES, "doomed") or doomed).status.conditions
        assert [(c.type, c.status, c.reason, c.message) for c in told] == [
            (
                "NamespaceDeletionDiscoveryFailure",
                "False",
                "ResourcesDiscovered",
                "All resources successfully discovered",
            ),
            (
                "NamespaceDeletionGroupVersionParsingFailure",
                "False",
                "ParsedGroupVersions",
                "All legacy kube types successfully parsed",
            ),
            (
                "NamespaceDeletionContentFailure",
                "False",
                "ContentDeleted",
                "All content successfully deleted, may be waiting on finalization",
            ),
            (
                "NamespaceContentRemaining",
                "True",
                "SomeResourcesRemain",
                "Some resources are remaining: leases.coordination.k8s.io has 1 resource instances, "
                "pods. has 1 resource instances",
            ),
            (
                "NamespaceFinalizersRemaining",
                "True",
                "SomeFinalizersRemain",
                "Some content in the namespace has finalizers remaining: example.com/slow in 2 resource instances",
            ),
        ]
        server.remove(LEASES, "doomed/l")
        server.remove(PODS, "doomed/slow")  # its kubelet is done
        await server.until(lambda: not (server.get(NAMESPACES, "doomed") or core_pb2.Namespace()).spec.finalizers)
    assert server.get(PODS, "default/safe") is not None


async def test_what_cannot_be_deleted_holds_back_nothing_else_and_is_told(running: Run) -> None:
    clock = FakeClock()
    server = FakeApiServer(clock=clock)
    doomed = core_pb2.Namespace()
    doomed.metadata.name = "doomed"
    doomed.metadata.deletionTimestamp.seconds = 1
    doomed.spec.finalizers.append("kubernetes")
    server.add(doomed, make.service("web", namespace="doomed"), make.replication_controller("web", namespace="doomed"))
    refused = errors.Forbidden("not these")
    server.fail(refused, verb="deletecollection", resource="replicationcontrollers", times=10**6)

    def told() -> tuple[str, str]:
        found = (server.get(NAMESPACES, "doomed") or doomed).status.conditions
        return next((c.status, c.message) for c in found if c.type == "NamespaceDeletionContentFailure")

    async with running(server, "namespace", clock=clock):
        await clock.advance(1)
        assert told() == ("True", "Failed to delete all resource types, 1 remaining: not these")
        assert server.get(SERVICES, "doomed/web") is None
        server.heal()
        await clock.advance(60)
    assert not (server.get(NAMESPACES, "doomed") or core_pb2.Namespace()).spec.finalizers


# --- nodes


def node_of(server: FakeApiServer, name: str) -> core_pb2.Node:
    node = server.get(NODES, name)
    assert node is not None
    return node


def ready_of(server: FakeApiServer, name: str) -> str:
    return next(c.status for c in node_of(server, name).status.conditions if c.type == "Ready")


def tainted(server: FakeApiServer, name: str) -> list[tuple[str, str]]:
    return [(t.key.rpartition("/")[2], t.effect) for t in node_of(server, name).spec.taints]


async def test_a_silent_node_is_unknown_tainted_emptied_and_forgiven(running: Run) -> None:
    clock = FakeClock()
    server = FakeApiServer(clock=clock)
    patient = core_pb2.Toleration(key=taints.UNREACHABLE, operator="Exists", effect="NoExecute", tolerationSeconds=300)
    server.add(make.node("node-1"), make.node("node-2"), lease("node-1", 0), lease("node-2", 0))
    server.add(make.pod("p", node="node-2", phase="Running", ready=True, tolerations=[patient]))
    server.add(make.pod("impatient", node="node-2", phase="Running", ready=True))

    async def seconds(count: int, *names: str) -> None:
        for _ in range(count // 10):
            for name in names:
                renewed = server.get(LEASES, f"kube-node-lease/{name}")
                assert renewed is not None
                renewed.spec.renewTime.seconds += 10
                server.add(renewed)
            await clock.advance(10)

    async with running(server, "nodelifecycle", "tainteviction", clock=clock):
        await clock.settle()
        await seconds(120, "node-1", "node-2")
        assert ready_of(server, "node-2") == "True"
        await seconds(20, "node-1")
        assert ready_of(server, "node-2") == "True"
        await seconds(40, "node-1")
        assert (ready_of(server, "node-1"), ready_of(server, "node-2")) == ("True", "Unknown")
        assert tainted(server, "node-2") == [("unreachable", "NoSchedule"), ("unreachable", "NoExecute")]
        assert tainted(server, "node-1") == []
        p = server.get(PODS, "default/p")
        assert p is not None
        assert [(c.type, c.status) for c in p.status.conditions] == [("Ready", "False")]
        assert [x.metadata.name for x in pods(server, leaving=True)] == ["impatient"]
        await seconds(250, "node-1")
        assert [x.metadata.name for x in pods(server, leaving=True)] == ["impatient"]
        await seconds(60, "node-1")
        assert [x.metadata.name for x in pods(server, leaving=True)] == ["impatient", "p"]
        told = {e.message for e in events(server, "TaintManagerEviction")}
        assert told == {"Marking for deletion Pod default/p", "Marking for deletion Pod default/impatient"}
        back = node_of(server, "node-2")
        back.status.CopyFrom(make.node("node-2").status)
        server.add(back)
        await seconds(10, "node-1", "node-2")
        assert tainted(server, "node-2") == []
    told = {e.message for e in events(server, "NodeNotReady")}
    assert told == {"Node node-2 status is now: NodeNotReady", "Node is not ready"}


async def renew(server: FakeApiServer, clock: FakeClock, seconds: int, *names: str) -> None:
    """Let so much time pass in which these nodes renew their leases."""
    for _ in range(seconds // 5):
        for name in names:
            renewed = server.get(LEASES, f"kube-node-lease/{name}") or lease(name, 0)
            renewed.spec.renewTime.seconds += 5
            server.add(renewed)
        await clock.advance(5)


async def test_nodes_are_emptied_at_the_configured_rate(running: Run) -> None:
    clock = FakeClock()
    server = FakeApiServer(clock=clock)
    names = [f"node-{n}" for n in range(5)]
    server.add(*(make.node(name) for name in names))

    def emptied() -> list[str]:
        return [name for name in names if ("unreachable", "NoExecute") in tainted(server, name)]

    async with running(server, "nodelifecycle", clock=clock):  # node-eviction-rate is 0.1: one in ten seconds
        await renew(server, clock, 60, *names)
        await renew(server, clock, 30, *names[2:])
        assert emptied() == []
        while not emptied():
            await renew(server, clock, 5, *names[2:])
        assert len(emptied()) == 1
        await renew(server, clock, 5, *names[2:])
        assert len(emptied()) == 1
        await renew(server, clock, 10, *names[2:])
        assert emptied() == names[:2]


async def test_after_an_outage_a_dead_node_is_told_within_seconds(running: Run) -> None:
    clock = FakeClock()
    server = FakeApiServer(clock=clock)
    server.add(*(make.node(f"node-{n}") for n in range(3)))
    async with running(server, "nodelifecycle", clock=clock):
        await renew(server, clock, 30, "node-0", "node-1", "node-2")
        await renew(server, clock, 30, "node-0", "node-1")
        server.fail(errors.Unavailable("etcd is away"), verb="update", resource="nodes", times=10**6)
        await renew(server, clock, 600, "node-0", "node-1")
        server.heal()
        await renew(server, clock, 10, "node-0", "node-1")
        assert [ready_of(server, f"node-{n}") for n in range(3)] == ["True", "True", "Unknown"]


async def test_where_nobody_is_heard_nobody_is_evicted(running: Run) -> None:
    clock = FakeClock()
    server = FakeApiServer(clock=clock)
    server.add(make.node("node-1"), make.node("node-2"), make.pod("p", node="node-1", phase="Running", ready=True))
    async with running(server, "nodelifecycle", "tainteviction", clock=clock):
        await clock.settle()
        await clock.advance(100)
        await clock.advance(1000)
    assert tainted(server, "node-1") == [("unreachable", "NoSchedule")]
    assert pods(server, leaving=True) == []


async def test_an_eviction_is_called_off_when_the_node_comes_back(running: Run) -> None:
    clock = FakeClock()
    server = FakeApiServer(clock=clock)
    patient = core_pb2.Toleration(operator="Exists", effect="NoExecute", tolerationSeconds=300)
    now = int(clock.time())
    server.add(make.node("node-1", taints=[make.taint("k", "NoExecute", added=now)]))
    server.add(make.pod("p", node="node-1", tolerations=[patient]))
    async with running(server, "tainteviction", clock=clock):
        await clock.advance(200)
        server.add(make.node("node-1"))
        await clock.advance(200)
    assert pods(server, leaving=True) == []
    assert [e.message for e in events(server, "TaintManagerEviction")] == ["Cancelling deletion of Pod default/p"]


async def test_every_node_gets_its_own_range_and_keeps_it_over_a_restart(running: Run) -> None:
    server = FakeApiServer()
    server.add(make.node("old", pod_cidr="10.244.1.0/24"), *(make.node(f"n{n}") for n in range(5)))
    async with running(server, "nodeipam"):
        await server.until(lambda: all(n.spec.podCIDR for n in server.objects(NODES)))
    before = {n.metadata.name: n.spec.podCIDR for n in server.objects(NODES)}
    server.add(make.node("late"))
    async with running(server, "nodeipam"):
        await server.until(lambda: node_of(server, "late").spec.podCIDR)
    after = {n.metadata.name: n.spec.podCIDR for n in server.objects(NODES)}
    assert before.items() <= after.items()
    assert len(set(after.values())) == 7
    assert after["old"] == "10.244.1.0/24"


async def test_a_new_lead_knows_nothing_of_the_ranges_that_an_earlier_one_had_in_mind() -> None:
    clock = FakeClock()
    server = FakeApiServer(clock=clock)
    pool = CidrPool("10.244.0.0/22", 24)
    pool.take("moved")  # which could not be written: others led then, and decided otherwise
    server.add(make.node("fresh"), make.node("kept", pod_cidr="10.244.0.0/24"))
    server.add(make.node("moved", pod_cidr="10.244.1.0/24"))
    client = server.client()
    informers = SharedInformers(client, clock=clock, log=structlog.get_logger(), registry=CollectorRegistry())
    context = ControllerContext(
        config=ControllerManagerConfig(name="controller-manager@test"),
        client=client,
        informers=informers,
        queue=WorkQueue(clock=clock),
        recorder=lambda component: EventRecorder(client, component),
        clock=clock,
        log=structlog.get_logger(),
    )
    controller = NodeIpamController(context, pool)
    tasks = [asyncio.ensure_future(informers.run())]
    await clock.settle()
    tasks.append(asyncio.ensure_future(controller.run()))
    await clock.settle()
    for task in tasks:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    assert node_of(server, "fresh").spec.podCIDR == "10.244.2.0/24"
    pool.check_invariants()


async def test_a_range_whose_writing_was_not_heard_is_not_given_to_another(running: Run) -> None:
    server = FakeApiServer()
    server.fail(errors.Timeout("too late"), verb="update", resource="nodes", after=True)
    server.add(*(make.node(f"n{n}") for n in range(4)))
    async with running(server, "nodeipam"):
        await server.until(lambda: all(n.spec.podCIDR for n in server.objects(NODES)))
    assert len({n.spec.podCIDR for n in server.objects(NODES)}) == 4


# --- garbage


async def test_pods_go_with_their_controller_in_the_background(running: Run) -> None:
    server = FakeApiServer()
    rc = make.replication_controller("web")
    server.add(rc, *(make.pod(f"p{n}", owner=make.controlled_by(rc), node="n") for n in range(3)), make.pod("free"))
    async with running(server, "garbagecollector"):
        async with server.client() as client:
            await client.delete(REPLICATION_CONTROLLERS, "web", "default")
        await server.until(lambda: len(pods(server, leaving=True)) == 3)
    assert [p.metadata.name for p in pods(server)] == ["free"]


async def test_what_lost_its_owner_while_nobody_watched_is_found_but_only_after_asking(running: Run) -> None:
    server = FakeApiServer()
    gone = make.replication_controller("gone")
    server.add(make.pod("p", owner=make.controlled_by(gone)))
    async with running(server, "garbagecollector"):
        await server.until(lambda: not pods(server))
    assert [c.name for c in server.calls_of("get", REPLICATION_CONTROLLERS)] == ["gone"]


async def test_foreground_waits_for_the_dependents(running: Run) -> None:
    server = FakeApiServer()
    rc = make.replication_controller("web")
    server.add(rc, make.pod("p", owner=make.controlled_by(rc), node="n"))
    async with running(server, "garbagecollector"):
        async with server.client() as client:
            await client.delete(REPLICATION_CONTROLLERS, "web", "default", propagation_policy="Foreground")
        await server.until(lambda: pods(server, leaving=True))
        assert server.get(REPLICATION_CONTROLLERS, "default/web") is not None
        server.remove(PODS, "default/p")
        await server.until(lambda: server.get(REPLICATION_CONTROLLERS, "default/web") is None)


async def test_an_owner_of_another_namespace_is_none_and_that_is_told(running: Run) -> None:
    server = FakeApiServer()
    rc = make.replication_controller("web")
    server.add(rc, make.pod("p", namespace="other", owner=make.controlled_by(rc)))
    server.add(make.pod("mine", owner=make.controlled_by(rc)))
    async with running(server, "garbagecollector"):
        await server.until(lambda: server.get(PODS, "other/p") is None)
        await server.until(lambda: events(server, "OwnerRefInvalidNamespace"))
    (told,) = events(server, "OwnerRefInvalidNamespace")
    assert (told.type, told.involvedObject.name, told.source.component) == (
        "Warning",
        "p",
        "garbage-collector-controller",
    )
    assert told.message == (
        "ownerRef [v1/ReplicationController, namespace: other, name: web, uid: uid-of-web] "
        'does not exist in namespace "other"'
    )
    assert server.get(PODS, "default/mine") is not None


async def test_an_owner_of_another_name_is_none(running: Run) -> None:
    server = FakeApiServer()
    rc = make.replication_controller("web")
    wrong = make.controlled_by(rc)
    wrong.name = "no-such"
    server.add(rc, make.pod("p", owner=wrong), make.pod("mine", owner=make.controlled_by(rc)))
    async with running(server, "garbagecollector"):
        await server.until(lambda: server.get(PODS, "default/p") is None)
    assert [p.metadata.name for p in pods(server)] == ["mine"]


async def test_two_that_own_and_block_each_other_go_in_foreground(running: Run) -> None:
    server = FakeApiServer()
    one, other = make.replication_controller("one"), make.replication_controller("other")
    one.metadata.ownerReferences.append(make.controlled_by(other))
    other.metadata.ownerReferences.append(make.controlled_by(one))
    server.add(one, other)
    async with running(server, "garbagecollector"):
        async with server.client() as client:
            await client.delete(REPLICATION_CONTROLLERS, "one", "default", propagation_policy="Foreground")
        await server.until(lambda: not server.objects(REPLICATION_CONTROLLERS))


async def test_orphans_are_let_live(running: Run) -> None:
    server = FakeApiServer()
    rc = make.replication_controller("web")
    server.add(rc, make.pod("p", owner=make.controlled_by(rc)))
    async with running(server, "garbagecollector"):
        async with server.client() as client:
            await client.delete(REPLICATION_CONTROLLERS, "web", "default", propagation_policy="Orphan")
        await server.until(lambda: server.get(REPLICATION_CONTROLLERS, "default/web") is None)
        await server.until(lambda: not pods(server)[0].metadata.ownerReferences)
    assert pods(server, leaving=True) == []


async def test_pods_of_a_node_that_is_gone_finally_go(running: Run) -> None:
    clock = FakeClock()
    server = FakeApiServer(clock=clock)
    server.add(make.node("node-1"), make.node("node-2"))
    server.add(make.pod("leaving", node="node-2", phase="Running", deleting=True), make.pod("p", node="node-2"))
    server.add(make.pod("never-had-one", deleting=True), make.pod("fine", node="node-1"))
    async with running(server, "podgc", clock=clock):
        await clock.settle()
        assert server.get(PODS, "default/never-had-one") is None
        server.remove(NODES, "node-2")
        await clock.advance(30)
        assert len(server.objects(PODS)) == 3
        await clock.advance(20)
    assert [p.metadata.name for p in server.objects(PODS)] == ["fine"]


async def test_a_node_that_comes_back_in_time_keeps_its_pods(running: Run) -> None:
    clock = FakeClock()
    server = FakeApiServer(clock=clock)
    server.add(make.node("node-1"), make.pod("p", node="node-1"))
    async with running(server, "podgc", clock=clock):
        await clock.settle()
        server.remove(NODES, "node-1")
        await clock.advance(30)
        server.add(make.node("node-1"))
        await clock.advance(100)
    assert len(server.objects(PODS)) == 1


async def test_a_leader_that_stops_in_the_middle_leaves_nothing_undone(running: Run) -> None:
    server = FakeApiServer()
    server.add(make.replication_controller("web", replicas=12), make.service("web"))
    for _ in range(4):
        async with running(server, elect=True):
            before = len(server.calls_of("create", PODS))
            await server.until(lambda before=before: len(server.calls_of("create", PODS)) > before or before >= 12)
    async with running(server, elect=True):
        await server.until(lambda: status(server).replicas == 12)
        run_all(server)
        await server.until(lambda: status(server).readyReplicas == 12)
        await server.until(lambda: len((server.get(ENDPOINTS, "default/web") or core_pb2.Endpoints()).subsets) == 1)
    assert len(pods(server)) == 12

"""The namespace controller, in a whole controller-manager over an api-server in memory."""

from __future__ import annotations

from kubelab.api.core.v1 import core_pb2
from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery import errors
from kubelab.apimachinery.scheme import (
    CONFIG_MAPS,
    LEASES,
    NAMESPACES,
    PODS,
    SERVICES,
)
from tests.support import objects as make
from tests.support.apiserver import ApiServerInMemory
from tests.support.clock import FakeClock
from tests.unit.controllermanager.conftest import Run
from tests.unit.controllermanager.objects import lease, pods


def terminating(name: str) -> core_pb2.Namespace:
    """A namespace that was deleted and whose content has not been looked at."""
    made = core_pb2.Namespace()
    made.metadata.name = name
    made.metadata.deletionTimestamp.seconds, made.status.phase = 1, "Terminating"
    made.spec.finalizers.append("kubernetes")
    return made


async def test_a_namespace_is_emptied_gracefully_before_it_goes(running: Run) -> None:
    server = ApiServerInMemory()
    doomed = terminating("doomed")
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
    server = ApiServerInMemory(clock=clock)
    doomed = terminating("doomed")
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


async def test_a_namespace_that_waits_for_finalizers_is_looked_at_ever_more_rarely(running: Run) -> None:
    clock = FakeClock()
    server = ApiServerInMemory(clock=clock)
    doomed = terminating("doomed")
    held = make.pod("held", namespace="doomed")
    held.metadata.finalizers.append("example.com/held")
    server.add(doomed, held)
    async with running(server, "namespace", clock=clock):
        await clock.advance(30)
        before = len(server.calls_of("list", SERVICES))
        await clock.advance(600)
        assert 9 <= len(server.calls_of("list", SERVICES)) - before <= 12
        server.remove(PODS, "doomed/held")
        await clock.advance(1)
    assert not (server.get(NAMESPACES, "doomed") or core_pb2.Namespace()).spec.finalizers

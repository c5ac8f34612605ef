"""What tests of several controllers look for, and put, into an api-server in memory."""

from __future__ import annotations

from kubelab.api.coordination.v1 import coordination_pb2
from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery.scheme import (
    EVENTS,
    NODES,
    PODS,
    REPLICATION_CONTROLLERS,
)
from tests.support.apiserver import ApiServerInMemory


def pods(server: ApiServerInMemory, *, leaving: bool = False) -> list[core_pb2.Pod]:
    return [p for p in server.objects(PODS) if p.metadata.HasField("deletionTimestamp") is leaving]


def events(server: ApiServerInMemory, reason: str) -> list[core_pb2.Event]:
    return [event for event in server.objects(EVENTS) if event.reason == reason]


def run_all(server: ApiServerInMemory) -> None:
    """Do a kubelet's part: every pod runs and is ready."""
    for number, pod in enumerate(server.objects(PODS), start=1):
        if pod.status.phase == "Pending":
            pod.status.phase, pod.status.podIP = "Running", f"10.244.0.{number}"
            pod.status.conditions.add(type="Ready", status="True")
            server.add(pod)


def status(server: ApiServerInMemory, key: str = "default/web") -> core_pb2.ReplicationControllerStatus:
    rc = server.get(REPLICATION_CONTROLLERS, key)
    assert rc is not None
    return rc.status


def lease(name: str, renewed: float) -> coordination_pb2.Lease:
    made = coordination_pb2.Lease()
    made.metadata.namespace, made.metadata.name = "kube-node-lease", name
    made.spec.renewTime.seconds = int(renewed)
    return made


def node_of(server: ApiServerInMemory, name: str) -> core_pb2.Node:
    node = server.get(NODES, name)
    assert node is not None
    return node

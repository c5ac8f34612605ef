"""Which pods a node takes, whoever bound them to it."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from kubelab.api.core.v1 import core_pb2
from kubelab.kubelet.pods.admission import refusal

ALLOCATABLE = {"cpu": "2", "memory": "4Gi", "ephemeral-storage": "10Gi", "pods": "3"}
LABELS = {"kubernetes.io/os": "linux", "disk": "ssd"}


def pod(*ports: tuple[str, str, int], selector: dict[str, str] | None = None, **requests: str) -> core_pb2.Pod:
    made = core_pb2.Pod()
    made.metadata.name, made.metadata.namespace, made.metadata.uid = "web", "default", "uid"
    container = made.spec.containers.add(name="app")
    for name, text in requests.items():
        container.resources.requests[name.replace("_", "-")].string = text
    for ip, protocol, number in ports:
        container.ports.add(hostIP=ip, protocol=protocol, hostPort=number)
    made.spec.nodeSelector.update(selector or {})
    return made


@dataclass(frozen=True)
class Case:
    name: str
    pod: core_pb2.Pod
    others: list[core_pb2.Pod] = field(default_factory=list[core_pb2.Pod])
    reason: str = ""
    message: str = ""


SHORT = "Node didn't have enough resource: "
PORTS = "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports"
CASES = [
    Case("nothing asked", pod()),
    Case("all that is left", pod(cpu="1500m", memory="3Gi"), [pod(cpu="500m", memory="1Gi")]),
    Case(
        "too many pods",
        pod(),
        [pod()] * 3,
        "OutOfpods",
        SHORT + "pods, requested: 1, used: 3, capacity: 3",
    ),
    Case(
        "more than there is",
        pod(cpu="1000"),
        [],
        "OutOfcpu",
        SHORT + "cpu, requested: 1000000, used: 0, capacity: 2000",
    ),
    Case(
        "more than is left",
        pod(memory="3Gi"),
        [pod(memory="2Gi")],
        "OutOfmemory",
        SHORT + f"memory, requested: {3 << 30}, used: {2 << 30}, capacity: {4 << 30}",
    ),
    Case(
        "the first that lacks is the reason",
        pod(memory="5Gi", cpu="3", ephemeral_storage="11Gi"),
        [],
        "OutOfcpu",
        SHORT + "cpu, requested: 3000, used: 0, capacity: 2000",
    ),
    Case(
        "storage",
        pod(ephemeral_storage="11Gi"),
        [],
        "OutOfephemeral-storage",
        SHORT + f"ephemeral-storage, requested: {11 << 30}, used: 0, capacity: {10 << 30}",
    ),
    Case("who asks for nothing fits on a full node", pod(), [pod(cpu="2", memory="4Gi")]),
    Case("what the node does not tell of", pod(hugepages_2Mi="2Mi")),
    Case("the labels it wants", pod(selector={"disk": "ssd"})),
    Case(
        "other labels",
        pod(selector={"disk": "hdd"}),
        [],
        "NodeAffinity",
        "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector",
    ),
    Case("a port of the node's own", pod(("", "TCP", 6443)), [], "NodePorts", PORTS),
    Case("the same port, by UDP", pod(("", "UDP", 6443)), []),
    Case("a port that is taken", pod(("", "TCP", 80)), [pod(("10.0.0.1", "TCP", 80))], "NodePorts", PORTS),
    Case("a port of another protocol", pod(("", "TCP", 80)), [pod(("", "UDP", 80))]),
    Case("a port of another address", pod(("10.0.0.2", "TCP", 80)), [pod(("10.0.0.1", "TCP", 80))]),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_refusal(case: Case) -> None:
    refused = refusal(case.pod, case.others, ALLOCATABLE, LABELS)
    assert (refused.reason, refused.message) == (case.reason, case.message) if refused else not case.reason


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"name": "../../etc"}, "metadata.name: '../../etc'"),
        ({"namespace": "a/b"}, "metadata.namespace: 'a/b'"),
        ({"uid": ".."}, "metadata.uid: '..': may not be '..'"),
        ({"name": "a\0b"}, "metadata.name: 'a\\x00b'"),
        ({"container": "../x"}, "spec.containers.name: '../x'"),
    ],
)
def test_names_that_are_no_names_become_no_paths(change: dict[str, str], told: str) -> None:
    made = pod()
    for name, value in change.items():
        if name == "container":
            made.spec.containers[0].name = value
        else:
            setattr(made.metadata, name, value)
    refused = refusal(made, [], ALLOCATABLE, LABELS)
    assert refused is not None
    assert refused.reason == "InvalidName"
    assert refused.message.startswith(told)

"""The node's status and its pods' settings: pure parts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from kubelab.api.core.v1 import core_pb2
from kubelab.cri.runtime.v1 import api_pb2 as cri
from kubelab.kubelet.containers import hosts
from kubelab.kubelet.containers.config import (
    ContainerInput,
    NodeSettings,
    container_config,
    dns_config,
    resources,
    sandbox_config,
)
from kubelab.kubelet.images.names import InvalidImageName, pull_policy, with_default_tag
from kubelab.kubelet.node import status as nodes
from kubelab.kubelet.node.machine import Machine, Pressure, read_machine, read_pressure
from kubelab.kubelet.pods.manager import remove_orphaned_logs

MACHINE = Machine(2, 4 << 30, 100 << 30, "m", "s", "b", "6.1.0", "Debian GNU/Linux 12 (bookworm)", "amd64")
READY = [
    cri.RuntimeCondition(type="RuntimeReady", status=True),
    cri.RuntimeCondition(type="NetworkReady", status=True),
]
SETTINGS = NodeSettings("node-1", "192.168.49.3", Path("/logs"), memory_bytes=4 << 30)


def facts(**more: object) -> nodes.NodeFacts:
    given: dict[str, object] = {"runtime": READY, **more}
    return nodes.NodeFacts("node-1", "192.168.49.3", 10250, MACHINE, 110, **given)  # pyright: ignore[reportArgumentType]


def test_capacity_and_allocatable() -> None:
    status = nodes.status(facts(), core_pb2.NodeStatus(), 100.0)
    assert {k: v.string for k, v in status.capacity.items()} == {
        "cpu": "2",
        "memory": "4194304Ki",
        "ephemeral-storage": "104857600Ki",
        "pods": "110",
    }
    assert status.allocatable["memory"].string == "4091904Ki"


@pytest.mark.parametrize(
    ("runtime", "message"),
    [
        (None, "container runtime is down"),
        (
            [READY[0], cri.RuntimeCondition(type="NetworkReady", reason="NetworkPluginNotReady", message="no CIDR")],
            "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:no CIDR",
        ),
    ],
)
def test_a_node_that_is_not_ready_says_why(runtime: object, message: str) -> None:
    status = nodes.status(facts(runtime=runtime), core_pb2.NodeStatus(), 100.0)
    ready = status.conditions[-1]
    assert (ready.status, ready.reason, ready.message) == ("False", "KubeletNotReady", message)


def test_pressure_and_its_events() -> None:
    calm = nodes.status(facts(), core_pb2.NodeStatus(), 100.0)
    full = nodes.status(facts(pressure=Pressure(disk=True)), calm, 200.0)
    assert nodes.transitions(core_pb2.NodeStatus(), calm) == [
        "NodeHasSufficientMemory",
        "NodeHasNoDiskPressure",
        "NodeHasSufficientPID",
        "NodeReady",
    ]
    assert nodes.transitions(calm, full) == ["NodeHasDiskPressure"]
    assert nodes.transitions(calm, nodes.status(facts(runtime=None), calm, 200.0)) == ["NodeNotReady"]
    assert [c.lastTransitionTime.seconds for c in full.conditions] == [100, 200, 100, 100]


def test_a_heartbeat_is_no_change_and_others_conditions_stay() -> None:
    first = nodes.status(facts(), core_pb2.NodeStatus(), 100.0)
    first.conditions.add(type="NetworkUnavailable", status="False")
    second = nodes.status(facts(), first, 200.0)
    assert not nodes.changed(first, second)
    assert second.conditions[-1].type == "NetworkUnavailable"


def test_this_machine_can_be_read(tmp_path: Path) -> None:
    machine = read_machine(tmp_path / "not" / "yet", "node-1")
    assert machine.cpus > 0
    assert machine.memory_bytes > 1 << 20
    assert machine.machine_id == read_machine(tmp_path, "node-1").machine_id
    assert machine.machine_id != read_machine(tmp_path, "node-2").machine_id
    assert not read_pressure(tmp_path).memory


@pytest.mark.parametrize(
    ("image", "full"),
    [
        ("node", "node:latest"),
        ("node:v1", "node:v1"),
        ("kim0lil/80700:v-1.0.0", "kim0lil/80700:v-1.0.0"),
        ("localhost:5000/a/b", "localhost:5000/a/b:latest"),
        ("a@sha256:" + "0" * 64, "a@sha256:" + "0" * 64),
    ],
)
def test_an_image_without_a_tag_is_the_latest(image: str, full: str) -> None:
    assert with_default_tag(image) == full


@pytest.mark.parametrize("image", ["", "Node", "a b", "a:", "-x", "a//b", "a:b:c"])
def test_an_image_name_that_none_can_have(image: str) -> None:
    with pytest.raises(InvalidImageName, match="couldn't parse image name"):
        with_default_tag(image)


def test_pull_policy() -> None:
    assert pull_policy(core_pb2.Container(image="a")) == "Always"
    assert pull_policy(core_pb2.Container(image="a:v1")) == "IfNotPresent"
    assert pull_policy(core_pb2.Container(image="a", imagePullPolicy="Never")) == "Never"


def _pod() -> core_pb2.Pod:
    pod = core_pb2.Pod()
    pod.metadata.name, pod.metadata.namespace, pod.metadata.uid = "web", "default", "u1"
    pod.metadata.labels["app"] = "node"
    pod.spec.terminationGracePeriodSeconds = 30
    app = pod.spec.containers.add(name="app", image="app:v1", command=["run", "$(NAME)"])
    app.ports.add(containerPort=8080, hostPort=80, protocol="TCP")
    return pod


def test_a_sandbox_and_its_container() -> None:
    pod = _pod()
    pod.spec.securityContext.runAsUser = 1000
    sandbox = sandbox_config(pod, SETTINGS, 2)
    assert (sandbox.metadata.attempt, sandbox.hostname, sandbox.log_directory) == (2, "web", "/logs/default_web_u1")
    assert sandbox.labels["io.kubernetes.pod.uid"] == "u1"
    assert sandbox.labels["app"] == "node"
    assert (sandbox.port_mappings[0].container_port, sandbox.port_mappings[0].host_port) == (8080, 80)
    assert sandbox.linux.security_context.namespace_options.network == cri.POD
    given = ContainerInput(pod, pod.spec.containers[0], 3, "app:v1", {"NAME": "x"})
    container = container_config(given, SETTINGS)
    assert list(container.command) == ["run", "x"]
    assert container.log_path == "app/3.log"
    assert container.annotations["io.kubernetes.container.restartCount"] == "3"
    assert container.labels["io.kubernetes.container.name"] == "app"
    assert container.linux.security_context.run_as_user.value == 1000
    assert container.linux.resources.oom_score_adj == 1000


def test_the_host_s_network() -> None:
    pod = _pod()
    pod.spec.hostNetwork = True
    sandbox = sandbox_config(pod, SETTINGS, 0)
    assert sandbox.linux.security_context.namespace_options.network == cri.NODE
    assert sandbox.hostname == "node-1"
    assert hosts.hostname(_pod(), "node-1", "cluster.local") == "web"


def test_requests_and_limits() -> None:
    pod = _pod()
    app = pod.spec.containers[0]
    app.resources.requests["cpu"].string = "250m"
    app.resources.limits["cpu"].string = "1500m"
    app.resources.limits["memory"].string = "64Mi"
    made = resources(pod, app, 4 << 30)
    assert (made.cpu_shares, made.cpu_quota, made.cpu_period) == (256, 150_000, 100_000)
    assert made.memory_limit_in_bytes == 64 << 20
    assert made.oom_score_adj == 985


@pytest.mark.parametrize(
    ("limits", "quality", "parent", "together"),
    [
        ([{}, {}], "BestEffort", "/kubepods/besteffort/podu1", (2, 0, 0)),
        ([{"memory": "64Mi"}, {}], "Burstable", "/kubepods/burstable/podu1", (2, 0, 0)),
        ([{"cpu": "1", "memory": "1Mi"}] * 2, "Guaranteed", "/kubepods/podu1", (2048, 200_000, 2 << 20)),
        ([{"cpu": "1m"}] * 3, "Burstable", "/kubepods/burstable/podu1", (3, 3000, 0)),
    ],
)
def test_a_pods_group_and_what_its_containers_may_use_together(
    limits: list[dict[str, str]], quality: str, parent: str, together: tuple[int, int, int]
) -> None:
    pod = _pod()
    del pod.spec.containers[:]
    for one in limits:
        container = pod.spec.containers.add()
        for name, amount in one.items():
            container.resources.limits[name].string = amount
            container.resources.requests[name].string = amount
    pod.status.qosClass = quality
    made = sandbox_config(pod, replace(SETTINGS, pod_pids_limit=77), 0).linux
    assert made.cgroup_parent == parent
    of_pod = made.resources
    assert (of_pod.cpu_shares, of_pod.cpu_quota, of_pod.memory_limit_in_bytes) == together
    assert dict(of_pod.unified) == {"pids.max": "77"}
    assert not sandbox_config(pod, SETTINGS, 0).linux.resources.unified


def test_the_node_says_whether_limits_are_enforced() -> None:
    told = cri.RuntimeCondition(type="LimitsEnforced", reason="NoUsableControlGroups", message="limits of cpu are not")
    found = nodes.conditions(facts(runtime=(*READY, told)), (), 5.0)
    assert [(c.type, c.status, c.reason, c.message) for c in found[4:]] == [
        ("LimitsEnforced", "False", "NoUsableControlGroups", "limits of cpu are not")
    ]
    later = nodes.conditions(facts(runtime=None), found, 9.0)
    assert [c.lastHeartbeatTime.seconds for c in later if c.type == "LimitsEnforced"] == [5]


def test_dns() -> None:
    settings = NodeSettings(
        "node-1",
        "192.168.49.3",
        Path("/logs"),
        cluster_dns=("10.96.0.10",),
        resolv_conf="nameserver 9.9.9.9\nsearch x\n",
    )
    pod = _pod()
    clustered = dns_config(pod, settings)
    assert list(clustered.servers) == ["10.96.0.10"]
    assert list(clustered.searches) == ["default.svc.cluster.local", "svc.cluster.local", "cluster.local", "x"]
    pod.spec.dnsPolicy = "Default"
    assert list(dns_config(pod, settings).servers) == ["9.9.9.9"]


def test_logs_of_pods_that_nobody_knows_are_removed(tmp_path: Path) -> None:
    for name in ("default_web_u1", "default_old_u2", "something else"):
        (tmp_path / name).mkdir()
    remove_orphaned_logs(tmp_path, {"u1"})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["default_web_u1", "something else"]

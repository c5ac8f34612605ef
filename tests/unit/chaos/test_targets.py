"""Whom an experiment means: names, components, nodes and roles."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from kubelab.apimachinery.errors import NotFound
from kubelab.chaos import targets
from kubelab.cluster.driver import ClusterNode, ClusterStatus, Process, ProcessState


def process(name: str, state: ProcessState = ProcessState.RUNNING, *, leader: bool = False) -> Process:
    component, _, node = name.partition("@")
    return Process(name, component, node, 1, 0.0, 0, state, leader=leader)


def cluster(*names: str, leader: str = "") -> ClusterStatus:
    nodes = sorted({name.partition("@")[2] for name in names if "@" in name})
    return ClusterStatus(
        "test",
        tuple(process(name, leader=name == leader) for name in names),
        tuple(ClusterNode(n, "192.168.49.2", Path("/x"), Path("/y"), n.startswith("cp-")) for n in nodes),
    )


HA = cluster(
    "supervisor",
    *(f"{component}@cp-{n}" for n in (1, 2, 3) for component in ("etcd", "scheduler", "kubelet")),
    "kubelet@node-1",
    "kube-proxy@node-1",
    leader="etcd@cp-2",
)
LEADERS = {"scheduler": "scheduler@cp-3", "etcd": "etcd@cp-2", "controller-manager": ""}


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("scheduler@cp-1", ["scheduler@cp-1"]),
        ("scheduler", ["scheduler@cp-1", "scheduler@cp-2", "scheduler@cp-3"]),
        ("node-1", ["kubelet@node-1", "kube-proxy@node-1"]),
        ("leader of scheduler", ["scheduler@cp-3"]),
        ("leader of etcd", ["etcd@cp-2"]),
        ("follower of etcd", ["etcd@cp-1"]),
    ],
)
def test_words_that_mean_processes(word: str, expected: list[str]) -> None:
    assert [p.name for p in targets.processes(HA, word, LEADERS)] == expected


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("etcd@cp-9", r'no process or node "etcd@cp-9" in this cluster. Did you mean "etcd@cp-.*There are: '),
        ("schedular", r'Did you mean "scheduler"\?'),
        (
            "leader of kubelet",
            r'"kubelet" has no leader; leaders are elected among: etcd, scheduler, controller-manager',
        ),
        ("leader of controller-manager", "controller-manager has no leader now"),
    ],
)
def test_words_that_mean_nothing(word: str, message: str) -> None:
    with pytest.raises(NotFound, match=message):
        targets.processes(HA, word, LEADERS)


def test_nobody_follows_where_there_is_one() -> None:
    with pytest.raises(NotFound, match="no follower"):
        targets.processes(cluster("etcd@cp-1"), "follower of etcd", {"etcd": "etcd@cp-1"})


def test_nodes() -> None:
    assert targets.node(HA, "worker") == "node-1"
    assert targets.node(HA, "control-plane") == "cp-1"
    assert targets.node(HA, "cp-3") == "cp-3"
    with pytest.raises(NotFound, match="there are: cp-1, cp-2, cp-3, node-1"):
        targets.node(HA, "node-7")


def test_a_partition_has_one_node_or_process_on_each_side() -> None:
    assert targets.side(HA, "node-1", LEADERS) == "node-1"
    assert targets.side(HA, "leader of scheduler", LEADERS) == "scheduler@cp-3"
    with pytest.raises(NotFound, match="is several processes"):
        targets.side(HA, "scheduler", LEADERS)


def test_a_member_that_is_alone_leads_itself_while_it_runs() -> None:
    assert targets.etcd_leader(cluster("etcd@cp-1")) == "etcd@cp-1"
    assert targets.etcd_leader(ClusterStatus("test", (process("etcd@cp-1", ProcessState.STOPPED),), ())) == ""
    assert targets.etcd_leader(HA) == "etcd@cp-2"


def test_everybody_else_is_every_node_and_who_is_on_none() -> None:
    whole = cluster("etcd@cp-1", "kubelet@node-1", "kubelet@node-2", "supervisor")
    assert targets.all_others(whole, "node-1") == ["cp-1", "node-2"]
    assert targets.all_others(whole, "kubelet@node-1") == ["cp-1", "node-2"]
    workers = ClusterStatus("test", whole.processes, tuple(n for n in whole.nodes if n.name != "cp-1"))
    assert targets.all_others(workers, "node-1") == ["node-2", "etcd@cp-1"]
    balanced = ClusterStatus("test", (*workers.processes, process("haproxy")), workers.nodes)
    assert targets.all_others(balanced, "node-1") == ["node-2", "etcd@cp-1", "haproxy"]
    assert targets.all_others(balanced, "haproxy") == ["node-1", "node-2", "etcd@cp-1"]


COMPOSE = replace(
    cluster("etcd@cp-1", "scheduler@cp-1", "etcd@cp-2", "haproxy", "node-agent@node-1", "kubelet@node-1"),
    nodes=(ClusterNode("node-1", "192.168.49.101", Path("/x"), Path("/y")),),
)


def test_a_control_plane_of_a_compose_cluster_is_a_side() -> None:
    assert [targets.side(COMPOSE, word, {}) for word in ("cp-1", "haproxy")] == ["cp-1", "haproxy"]
    assert targets.all_others(COMPOSE, "cp-1") == ["node-1", "etcd@cp-2", "haproxy"]
    assert targets.all_others(COMPOSE, "node-1") == ["etcd@cp-1", "scheduler@cp-1", "etcd@cp-2", "haproxy"]

"""Whom ``kubelab fault`` means, in which order, and how it lists what is broken."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from kubelab.apimachinery.errors import ApiError
from kubelab.cli.fault import arrow, listing, of_node, process_named, side_named
from kubelab.cluster.driver import Action, ClusterNode, ClusterStatus, Process, ProcessState
from kubelab.topology.partitions import Partition


def process(name: str, state: ProcessState = ProcessState.RUNNING) -> Process:
    component, _, node = name.partition("@")
    return Process(name, component, node, 7, 1.0, 0, state)


NAMES = (
    "supervisor",
    "etcd@cp-1",
    "api-server@cp-1",
    "scheduler@cp-1",
    "controller-manager@cp-1",
    "runtime@cp-1",
    "kubelet@cp-1",
    "kube-proxy@cp-1",
    "runtime@node-1",
    "kubelet@node-1",
    "kube-proxy@node-1",
)
STATUS = ClusterStatus(
    "lab",
    tuple(process(name) for name in NAMES),
    tuple(ClusterNode(name, "192.168.49.2", Path("/ns"), Path("/sock")) for name in ("cp-1", "node-1")),
)
COMPOSE = ClusterStatus(  # control planes are no nodes for pods, and a node is a process of its own
    "lab",
    tuple(
        process(name)
        for name in (
            *("etcd@cp-1", "api-server@cp-1", "etcd@cp-2", "haproxy"),
            *("node-agent@node-1", "runtime@node-1", "kubelet@node-1", "kube-proxy@node-1"),
        )
    ),
    (ClusterNode("node-1", "192.168.49.101", Path("/ns"), Path("/sock")),),
)


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("scheduler@cp-1", "scheduler@cp-1"),
        ("scheduler", "scheduler@cp-1"),
        ("api-server", "api-server@cp-1"),
        ("kubelet@node-1", "kubelet@node-1"),
        ("node-1", "node-1"),
    ],
)
def test_a_name_or_a_component_that_is_there_once(word: str, meant: str) -> None:
    assert side_named(STATUS, word) == meant
    if "@" in meant:
        assert process_named(STATUS, word) == meant


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("node-9", 'node "node-9" not found'),
        ("kubelet@node-9", 'process "kubelet@node-9" not found'),
        ("supervisor", "supervisor runs the cluster's processes; faults act on those only"),
        ("kubelet", '"kubelet" runs on several nodes, name one: kubelet@cp-1, kubelet@node-1'),
    ],
)
def test_what_is_no_side(word: str, says: str) -> None:
    with pytest.raises((ApiError, click.UsageError)) as caught:
        side_named(STATUS, word)
    assert caught.value.message == says


def test_a_node_is_no_process() -> None:
    with pytest.raises(ApiError, match='process "node-1" not found'):
        process_named(STATUS, "node-1")


DOWNWARDS = ["kube-proxy", "kubelet", "scheduler", "controller-manager", "api-server", "etcd", "runtime"]


@pytest.mark.parametrize("action", Action, ids=lambda action: action.value)
def test_whoever_stands_on_others_goes_first_and_comes_last(action: Action) -> None:
    order = [found.component for found in of_node(STATUS, "cp-1", action)]
    assert order == (DOWNWARDS[::-1] if action in (Action.START, Action.RESUME) else DOWNWARDS)


@pytest.mark.parametrize("action", Action, ids=lambda action: action.value)
def test_a_machine_is_stopped_last_and_started_first(action: Action) -> None:
    order = [found.component for found in of_node(COMPOSE, "node-1", action)]
    downwards = ["kube-proxy", "kubelet", "runtime", "node-agent"]
    assert order == (downwards[::-1] if action in (Action.START, Action.RESUME) else downwards)


def test_a_control_plane_and_a_load_balancer_of_a_compose_cluster() -> None:
    assert [found.name for found in of_node(COMPOSE, "cp-1", Action.STOP)] == ["api-server@cp-1", "etcd@cp-1"]
    assert [side_named(COMPOSE, word) for word in ("cp-2", "haproxy")] == ["cp-2", "haproxy"]
    assert process_named(COMPOSE, "haproxy") == "haproxy"


def test_of_no_such_node() -> None:
    with pytest.raises(ApiError, match='node "node-9" not found'):
        of_node(STATUS, "node-9", Action.KILL)


def test_listing() -> None:
    processes = [
        process("etcd@cp-1"),
        process("scheduler@cp-1", ProcessState.PAUSED),
        process("kubelet@node-1", ProcessState.STOPPED),
        process("kube-proxy@node-1", ProcessState.BACK_OFF),
    ]
    partitions = [Partition("node-1", "node-2"), Partition("etcd@cp-1", "api-server@cp-1", one_way=True)]
    assert listing(processes, partitions).splitlines() == [
        "FAULT       TARGET",
        "Paused      scheduler@cp-1",
        "Stopped     kubelet@node-1",
        "Partition   node-1<->node-2",
        "Partition   etcd@cp-1->api-server@cp-1",
    ]


def test_listing_nothing() -> None:
    assert listing([process("etcd@cp-1")], []) == "No faults."


def test_arrows() -> None:
    assert [arrow(Partition("a", "b", one_way=one_way)) for one_way in (False, True)] == ["a<->b", "a->b"]

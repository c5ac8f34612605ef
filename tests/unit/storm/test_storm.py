"""A storm is the same for the same seed, and its checks find what must not be."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest

from kubelab.chaos.recording import ServiceRequest
from kubelab.cluster.driver import ClusterNode, ClusterStatus, Process, ProcessState
from tests.storm import invariants
from tests.storm.plan import CRASH, PARTITION, Blow, rounds

COMPONENTS = ("etcd", "api-server", "scheduler", "controller-manager", "kubelet", "kube-proxy", "runtime")
GUARDIANS = ("supervisor", "tunnels", "zygote")
NODES = ("cp-1", "cp-2", "cp-3")
STATUS = ClusterStatus(
    "storm",
    (
        *(Process(name, name, "", 1, 0.0, 0, ProcessState.RUNNING) for name in GUARDIANS),
        *(Process(f"{c}@{n}", c, n, 1, 0.0, 0, ProcessState.RUNNING) for c in COMPONENTS for n in NODES),
    ),
    tuple(ClusterNode(n, "192.168.49.2", Path(), Path()) for n in NODES),
)


def test_a_seed_gives_the_same_storm_again() -> None:
    first = list(islice(rounds(7, STATUS), 200))
    assert first == list(islice(rounds(7, STATUS), 200))
    assert first != list(islice(rounds(8, STATUS), 200))


def test_a_storm_is_of_every_kind_and_no_fault_of_a_round_touches_another_one() -> None:
    names = {p.name for p in STATUS.processes} | {*NODES}
    blows = [blow for round_ in islice(rounds(1, STATUS), 500) for blow in round_]
    assert {blow.kind for blow in blows} == {"kill", "stop", "pause", "partition", "crash"}
    guardians = {(blow.kind, blow.target) for blow in blows if blow.on_guardian}
    assert guardians == {(kind, name) for kind in ("kill", "pause") for name in GUARDIANS}
    assert {name for b in blows for name in (b.target, b.other)} - {""} <= names
    for round_ in islice(rounds(1, STATUS), 500):
        touched = [name for b in round_ for name in (b.target, b.other) if name]
        assert sum(blow.kind == CRASH for blow in round_) <= 1
        assert len(touched) == len(set(touched))
        assert all(blow.target != blow.other or blow.kind == CRASH for blow in round_)


@pytest.mark.parametrize(
    ("blow", "touches", "told"),
    [
        (Blow(PARTITION, "cp-1", "cp-2", True, 1.5), True, "partition cp-1 → cp-2 for 1.5 s"),
        (Blow(PARTITION, "kubelet@cp-1", "api-server@cp-2", False, 2), False, "kubelet@cp-1 ↔ api-server@cp-2"),
        (Blow("kill", "tunnels"), True, "kill tunnels"),
        (Blow("pause", "supervisor", seconds=2), False, "pause supervisor for 2.0 s"),
        (Blow("kill", "kubelet@cp-1"), False, "kill kubelet@cp-1"),
        (Blow(CRASH), True, "crash a container of the service"),
    ],
)
def test_what_may_disturb_traffic(blow: Blow, touches: bool, told: str) -> None:
    assert blow.touches_traffic is touches
    assert told in str(blow)


def test_requests_may_fail_only_where_traffic_was_touched() -> None:
    requests = [
        ServiceRequest(1.0, 1, "", "refused"),
        ServiceRequest(2.0, 1, "a", ""),
        ServiceRequest(3.0, 1, "", "reset"),
    ]
    assert invariants.traffic_goes_on(requests, [(0.5, 1.5)]) == ["3.00 s: reset"]
    assert invariants.traffic_goes_on(requests, [(0.5, 3.5)]) == []

"""What the replication manager decides: tables over pure functions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import errors
from kubelab.apimachinery.core.pods import is_active
from kubelab.controllermanager.replicaset.decide import (
    Failure,
    hold_back,
    plan,
    status,
)
from tests.support import objects as make

WEB = make.replication_controller("web", replicas=3)
OWNED = make.controlled_by(WEB)


def web(name: str, *, own: bool = True, ready: bool | None = True, **options: Any) -> core_pb2.Pod:
    defaults: dict[str, Any] = {"labels": {"app": "web"}, "phase": "Running", "node": "n"}
    return make.pod(name, ready=ready, owner=OWNED if own else None, **(defaults | options))


@dataclass
class Scale:
    name: str
    replicas: int
    have: list[core_pb2.Pod] = field(default_factory=list[core_pb2.Pod])
    created: int = 0
    deleted: list[str] = field(default_factory=list[str])


SCALES = [
    Scale("at rest", 2, [web("a"), web("b")]),
    Scale("too few", 3, [web("a")], created=2),
    Scale("no more than a burst at once", 900, created=500),
    Scale("those that end or leave do not count", 1, [web("a", phase="Failed"), web("b", deleting=True)], created=1),
    Scale("scaled to zero", 0, [web("a"), web("b")], deleted=["a", "b"]),
    Scale("without a node first", 1, [web("a"), web("b", node="", phase="Pending", ready=None)], deleted=["b"]),
    Scale("pending before running", 1, [web("a"), web("b", phase="Pending", ready=None)], deleted=["b"]),
    Scale("unready before ready", 1, [web("a"), web("b", ready=False)], deleted=["b"]),
    Scale("where there are two of them", 2, [web("a"), web("b", node="m"), web("c", node="m")], deleted=["b"]),
    Scale("ready for much less long", 1, [web("a", ready_since=5), web("b", ready_since=80)], deleted=["b"]),
    Scale("ready for about as long, by uid", 1, [web("b", ready_since=9), web("a", ready_since=5)], deleted=["a"]),
    Scale("ready since nobody knows when", 1, [web("a", ready_since=99), web("b")], deleted=["b"]),
    Scale("restarted more often", 1, [web("a"), web("b", restarts=3)], deleted=["b"]),
    Scale("the much newer", 1, [web("a", created=5), web("b", created=80)], deleted=["b"]),
    Scale("about as new, by uid", 1, [web("b", created=9), web("a", created=5)], deleted=["a"]),
]


@pytest.mark.parametrize("case", SCALES, ids=lambda case: case.name)
def test_plan_moves_pods_towards_the_spec(case: Scale) -> None:
    rc = make.replication_controller("web", replicas=case.replicas)
    todo = plan(rc, [*filter(is_active, case.have)], now=100.0)
    assert (todo.create, [p.metadata.name for p in todo.delete]) == (case.created, case.deleted)


def test_the_deletion_cost_annotation_is_heard() -> None:
    cheap = web("cheap", ready_since=1)
    cheap.metadata.annotations["controller.kubernetes.io/pod-deletion-cost"] = "-5"
    rc = make.replication_controller("web", replicas=1)
    assert [p.metadata.name for p in plan(rc, [web("dear", ready_since=80), cheap], now=100.0).delete] == ["cheap"]


def test_status_counts_and_tells_of_failure() -> None:
    rc = make.replication_controller("web", replicas=3)
    rc.spec.minReadySeconds = 10
    rc.spec.template.metadata.labels["tier"] = "front"
    pods = [
        web("a", ready_since=80, labels={"app": "web", "tier": "front"}),
        web("b", ready_since=95),
        web("c", ready=False),
    ]
    told = status(rc, pods, Failure("FailedCreate", errors.Forbidden("quota")), now=100.0)
    assert (told.replicas, told.fullyLabeledReplicas, told.readyReplicas, told.availableReplicas) == (3, 1, 2, 1)
    assert told.observedGeneration == 1
    assert [(c.type, c.status, c.reason, c.message) for c in told.conditions] == [
        ("ReplicaFailure", "True", "FailedCreate", "quota")
    ]
    rc.status.MergeFromString(told.SerializeToString())
    assert status(rc, pods, Failure("FailedCreate", errors.Forbidden("quota, other words")), now=101.0) == told
    (changed,) = status(rc, pods, Failure("FailedDelete", errors.Forbidden("too busy")), now=101.0).conditions
    assert (changed.reason, changed.message, changed.lastTransitionTime.seconds) == ("FailedDelete", "too busy", 100)
    assert [*status(rc, pods, None, now=102.0).conditions] == []


def seen(replicas: int) -> core_pb2.ReplicationController:
    """One whose generation the controller has seen."""
    made = make.replication_controller("web", replicas=replicas)
    made.status.observedGeneration = made.metadata.generation
    return made


def rejected(created: float, **options: Any) -> core_pb2.Pod:
    pod = web(f"r{created}", phase="Failed", ready=None, **options)
    pod.metadata.creationTimestamp.seconds = int(created)
    del pod.status.containerStatuses[:]
    return pod


@pytest.mark.parametrize(
    ("owned", "seconds"),
    [
        ([], 0),
        ([rejected(10_000)], 0),  # one of two: the next may have more luck
        ([rejected(10_000), rejected(10_000)], 1),
        ([rejected(9_990), rejected(9_999), rejected(9_999), rejected(10_000)], 2),
        ([rejected(10_000 - n // 2) for n in range(40)], 300),
        ([rejected(10_000), rejected(9_000)], 0),  # long ago
        ([rejected(9_999), rejected(9_999)], 0),  # its time is over
        ([rejected(10_000, node=""), rejected(10_000)], 0),
        ([web("a", phase="Failed"), rejected(10_000), web("b")], 0),
    ],
)
def test_pods_that_no_node_takes_are_replaced_more_and_more_slowly(owned: list[core_pb2.Pod], seconds: int) -> None:
    assert hold_back(seen(replicas=2), owned, 10_000.0) == seconds


def test_a_pod_that_ran_before_it_failed_is_replaced_at_once() -> None:
    ran = [rejected(10_000), rejected(10_000)]
    for pod in ran:
        pod.status.containerStatuses.add(name="app")
    assert hold_back(seen(replicas=2), ran, 10_000.0) == 0


def test_a_changed_template_is_tried_at_once() -> None:
    changed = seen(replicas=1)
    assert hold_back(changed, [rejected(10_000)], 10_000.0) == 1
    changed.metadata.generation += 1
    assert hold_back(changed, [rejected(10_000)], 10_000.0) == 0

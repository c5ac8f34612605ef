"""What node lifecycle and taint eviction decide: tables over pure functions."""

from __future__ import annotations

import pytest

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import taints
from kubelab.controllermanager.nodelifecycle.decide import (
    Zone,
    evict_at,
    wanted_taints,
    with_taints,
    with_unknown_conditions,
    zone_state,
)
from tests.support import objects as make


@pytest.mark.parametrize(
    ("statuses", "zone"),
    [
        ([], Zone.NORMAL),
        (["True", "Unknown", "Unknown"], Zone.NORMAL),
        (["Unknown"], Zone.FULL_DISRUPTION),
        (["False", "Unknown", "Unknown"], Zone.FULL_DISRUPTION),
        (["True"] * 4 + ["Unknown"] * 6, Zone.PARTIAL_DISRUPTION),
    ],
)
def test_how_much_of_the_cluster_is_heard(statuses: list[str], zone: Zone) -> None:
    assert zone_state(statuses) is zone


def test_a_silent_node_says_so_once() -> None:
    changed = with_unknown_conditions(make.node(), 50.0)
    assert changed is not None
    told = {c.type: (c.status, c.reason, c.message) for c in changed.status.conditions}
    assert told["Ready"] == ("Unknown", "NodeStatusUnknown", "Kubelet stopped posting node status.")
    assert told["MemoryPressure"] == ("Unknown", "NodeStatusNeverUpdated", "Kubelet never posted node status.")
    assert with_unknown_conditions(changed, 60.0) is None


@pytest.mark.parametrize(
    ("ready", "unschedulable", "evict", "wanted"),
    [
        ("True", False, True, []),
        ("True", True, True, [(taints.UNSCHEDULABLE, "NoSchedule")]),
        ("False", False, False, [(taints.NOT_READY, "NoSchedule")]),
        ("False", False, True, [(taints.NOT_READY, "NoSchedule"), (taints.NOT_READY, "NoExecute")]),
        ("Unknown", False, True, [(taints.UNREACHABLE, "NoSchedule"), (taints.UNREACHABLE, "NoExecute")]),
    ],
)
def test_the_taints_that_conditions_ask_for(
    ready: str, unschedulable: bool, evict: bool, wanted: list[tuple[str, str]]
) -> None:
    assert wanted_taints(make.node(ready=ready, unschedulable=unschedulable), evict=evict) == wanted


def test_other_peoples_taints_stay() -> None:
    theirs, ours = make.taint("dedicated", value="x"), make.taint(taints.UNREACHABLE, "NoExecute")
    changed = with_taints(make.node(taints=[theirs, ours]), [(taints.NOT_READY, "NoSchedule")], 7.0)
    assert changed is not None
    assert [(t.key, t.timeAdded.seconds) for t in changed.spec.taints] == [("dedicated", 0), (taints.NOT_READY, 7)]
    assert with_taints(changed, [(taints.NOT_READY, "NoSchedule")], 8.0) is None


def toleration(key: str, seconds: int | None = None) -> core_pb2.Toleration:
    made = core_pb2.Toleration(key=key, operator="Exists", effect="NoExecute")
    if seconds is not None:
        made.tolerationSeconds = seconds
    return made


@pytest.mark.parametrize(
    ("tolerations", "when"),
    [
        ([], 200.0),
        ([toleration("other")], 200.0),
        ([toleration("k")], None),
        ([toleration("k", 300)], 400.0),
        ([toleration("k", 300), toleration("", 150)], 400.0),
        ([toleration(""), toleration("k", 300)], None),
        ([toleration("k", 0)], 200.0),
        ([toleration("k", -5)], 200.0),
    ],
)
def test_when_a_pod_must_leave(tolerations: list[core_pb2.Toleration], when: float | None) -> None:
    node = make.node(taints=[make.taint("k", "NoExecute", added=100), make.taint("other", "NoSchedule")])
    assert evict_at(make.pod(tolerations=tolerations), node, 200.0) == when

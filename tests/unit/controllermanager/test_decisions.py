"""What the controllers decide: tables over pure functions."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubelab.api.core.v1 import core_pb2
from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery import errors, taints
from kubelab.apimachinery.core.pods import is_active
from kubelab.apimachinery.scheme import NODES, PODS
from kubelab.controllermanager.endpoints.decide import MAX_ADDRESSES, desired, subsets
from kubelab.controllermanager.garbagecollector.decide import Delete, DropOwners, Keep, Owner, judge
from kubelab.controllermanager.garbagecollector.graph import FOREGROUND, ORPHAN, Graph, Item
from kubelab.controllermanager.nodeipam import CidrPool
from kubelab.controllermanager.nodelifecycle.decide import (
    Zone,
    evict_at,
    silenced,
    wanted_taints,
    with_taints,
    zone_state,
)
from kubelab.controllermanager.podgc import surplus
from kubelab.controllermanager.replication.decide import (
    Failure,
    plan,
    status,
)
from tests.support import objects as make

WEB = make.replication_controller("web", replicas=3)
OWNED = make.controlled_by(WEB)


def web(name: str, *, own: bool = True, ready: bool | None = True, **options: Any) -> core_pb2.Pod:
    defaults: dict[str, Any] = {"labels": {"app": "web"}, "phase": "Running", "node": "n"}
    return make.pod(name, ready=ready, owner=OWNED if own else None, **(defaults | options))


# --- replication


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
    rc.status.CopyFrom(told)
    assert status(rc, pods, Failure("FailedCreate", errors.Forbidden("quota, other words")), now=101.0) == told
    (changed,) = status(rc, pods, Failure("FailedDelete", errors.Forbidden("too busy")), now=101.0).conditions
    assert (changed.reason, changed.message, changed.lastTransitionTime.seconds) == ("FailedDelete", "too busy", 100)
    assert [*status(rc, pods, None, now=102.0).conditions] == []


# --- endpoints


def behind(name: str, ip: str, **options: Any) -> core_pb2.Pod:
    pod = web(name, ip=ip, own=False, **options)
    pod.spec.containers[0].ports.add(name="http", containerPort=8080)
    return pod


def test_subsets_are_sorted_and_tell_ready_from_not_ready() -> None:
    pods = [
        behind("c", "10.244.1.10"),
        behind("b", "10.244.1.9"),
        behind("a", "10.244.0.2", ready=False),
        behind("no address", ""),
        behind("ended", "10.244.0.3", phase="Succeeded"),
        behind("leaving", "10.244.0.4", deleting=True),
    ]
    (subset,) = subsets(make.service("web"), pods)
    assert [a.ip for a in subset.addresses] == ["10.244.1.9", "10.244.1.10"]
    assert [a.ip for a in subset.notReadyAddresses] == ["10.244.0.2"]
    assert [(p.name, p.port, p.protocol) for p in subset.ports] == [("", 8080, "TCP")]
    assert subsets(make.service("web"), pods[::-1]) == [subset]
    target = subset.addresses[0].targetRef
    assert (target.kind, target.namespace, target.name, target.uid) == ("Pod", "default", "b", "uid-of-b")
    assert subset.addresses[0].nodeName == "n"


def test_named_target_ports_may_differ_between_pods() -> None:
    other = behind("b", "10.244.0.2")
    other.spec.containers[0].ports[0].containerPort = 9090
    without = behind("c", "10.244.0.3")
    del without.spec.containers[0].ports[:]
    packed = subsets(make.service("web", target="http"), [behind("a", "10.244.0.1"), other, without])
    assert [([a.ip for a in s.addresses], [p.port for p in s.ports]) for s in packed] == [
        (["10.244.0.1"], [8080]),
        (["10.244.0.2"], [9090]),
    ]


def test_not_ready_addresses_may_be_published_and_headless_services_labelled() -> None:
    service = make.service("web", headless=True)
    service.spec.publishNotReadyAddresses = True
    wanted = desired(service, [behind("a", "10.244.0.1", ready=False, deleting=True)], None)
    assert wanted is not None
    assert [a.ip for a in wanted.subsets[0].addresses] == ["10.244.0.1"]
    assert "service.kubernetes.io/headless" in wanted.metadata.labels
    assert desired(service, [behind("a", "10.244.0.1", ready=False, deleting=True)], wanted) is None


def test_no_more_than_a_thousand_addresses() -> None:
    pods = [behind(f"p{n}", f"10.244.{n // 250}.{n % 250 + 1}", ready=n % 2 == 0) for n in range(1200)]
    wanted = desired(make.service("web"), pods, None)
    assert wanted is not None
    assert wanted.metadata.annotations["endpoints.kubernetes.io/over-capacity"] == "truncated"
    (subset,) = wanted.subsets
    assert (len(subset.addresses), len(subset.notReadyAddresses)) == (600, MAX_ADDRESSES - 600)


# --- nodes


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
    changed = silenced(make.node(), 50.0)
    assert changed is not None
    told = {c.type: (c.status, c.reason, c.message) for c in changed.status.conditions}
    assert told["Ready"] == ("Unknown", "NodeStatusUnknown", "Kubelet stopped posting node status.")
    assert told["MemoryPressure"] == ("Unknown", "NodeStatusNeverUpdated", "Kubelet never posted node status.")
    assert silenced(changed, 60.0) is None


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


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.booleans()), max_size=40))
def test_no_range_is_ever_given_twice(steps: list[tuple[str, bool]]) -> None:
    pool = CidrPool("10.244.0.0/22", 24)
    held: dict[str, str] = {}
    for node, come in steps:
        if come:
            given_range = pool.take(node)
            if given_range is None:
                assert len(held) == 4
                continue
            assert held.get(node, given_range) == given_range
            held[node] = given_range
        else:
            pool.release(node)
            held.pop(node, None)
        pool.check_invariants()
        assert len(set(held.values())) == len(held)


def test_ranges_of_existing_nodes_are_kept() -> None:
    pool = CidrPool("10.244.0.0/16", 24)
    assert pool.occupy("a", "10.244.0.0/24")
    assert not pool.occupy("b", "10.244.0.0/24")
    assert not pool.occupy("b", "192.168.0.0/24")
    assert pool.take("b") == "10.244.1.0/24"
    assert pool.take("a") == "10.244.0.0/24"
    with pytest.raises(ValueError, match="has no subnets"):
        CidrPool("10.244.0.0/16", 8)


def test_the_oldest_ended_pods_are_surplus() -> None:
    ended = [make.pod(f"p{n}", created=10 - n) for n in range(5)]
    assert [p.metadata.name for p in surplus(ended, 3)] == ["p4", "p3"]
    assert surplus(ended, 0) == []


# --- garbage


def item(uid: str, *owners: str, finalizers: tuple[str, ...] = (), deleting: bool = False, block: bool = True) -> Item:
    pod = make.pod(uid, uid=uid, deleting=deleting)
    pod.metadata.finalizers.extend(finalizers)
    for owner in owners:
        pod.metadata.ownerReferences.append(
            meta_pb2.OwnerReference(apiVersion="v1", kind="Pod", name=owner, uid=owner, blockOwnerDeletion=block)
        )
    return Item.of(PODS, pod)


S, A, W = Owner.SOLID, Owner.ABSENT, Owner.WAITING


@pytest.mark.parametrize(
    ("what", "owners", "dependents", "verdict"),
    [
        (item("x"), {}, [], Keep()),
        (item("x", "a"), {"a": S}, [], Keep()),
        (item("x", "a"), {"a": A}, [], Delete("Background")),
        (item("x", "a", deleting=True), {"a": A}, [], Keep()),
        (item("x", "a", "b"), {"a": A, "b": S}, [], DropOwners(frozenset({"a"}))),
        (item("x", "a", "b"), {"a": W, "b": S}, [], DropOwners(frozenset({"a"}))),
        (item("x", "a", "b"), {"a": A, "b": A}, [], Delete("Background")),
        (item("x", "a"), {"a": W}, [], Delete("Background")),
        (item("x", "a"), {"a": W}, [item("y", "x")], Delete("Foreground")),
        (
            item("x", "a"),
            {"a": W},
            [item("a", "x", finalizers=(FOREGROUND,), deleting=True)],
            Delete("Foreground", unblock=True),
        ),
        (item("x", "a", finalizers=(ORPHAN,)), {"a": A}, [], Delete("Orphan")),
        (item("x", "a", finalizers=(FOREGROUND,)), {"a": A}, [], Delete("Foreground")),
    ],
)
def test_what_becomes_of_an_object(
    what: Item, owners: dict[str, Owner], dependents: list[Item], verdict: Keep | DropOwners | Delete
) -> None:
    assert judge(what, owners, dependents) == verdict


def test_the_graph_says_whom_to_look_at() -> None:
    graph = Graph()
    assert graph.observe(item("pod", "rc")) == {"pod"}  # its owner is not known (yet)
    assert graph.observe(item("rc")) == set()
    assert graph.observe(item("pod2", "rc")) == set()
    foreground = item("rc", finalizers=(FOREGROUND,), deleting=True)
    assert graph.observe(foreground) == {"rc", "pod", "pod2"}
    assert graph.observe(item("pod2", "rc", block=False)) == {"rc", "pod2"}
    assert graph.remove("pod") == {"rc"}
    assert graph.remove("rc") == {"pod2"}
    assert graph.remove("rc") == set()
    graph.check_invariants()


@pytest.mark.parametrize(
    "wrong", [{"name": "other"}, {"kind": "Service"}, {"apiVersion": "v2"}, {"uid": "other"}], ids=str
)
def test_a_reference_must_be_right_in_every_part(wrong: dict[str, str]) -> None:
    owner, dependent = item("rc"), item("pod", "rc")
    ref = dependent.owners[0]
    graph = Graph()
    graph.observe(owner)
    assert dependent.owned_by(owner, ref)
    assert graph.observe(dependent) == set()
    for part, value in wrong.items():
        setattr(ref, part, value)
    assert not dependent.owned_by(owner, ref)
    assert graph.observe(replace(dependent, uid="another")) == {"another"}


def test_an_owner_is_in_the_same_namespace_or_in_none() -> None:
    ref = meta_pb2.OwnerReference(apiVersion="v1", kind="Pod", name="a", uid="a")
    node = meta_pb2.OwnerReference(apiVersion="v1", kind="Node", name="n", uid="uid-of-n")
    elsewhere = Item.of(PODS, make.pod("x", namespace="elsewhere"))
    assert not elsewhere.owned_by(item("a"), ref)
    assert elsewhere.owned_by(Item.of(NODES, make.node("n")), node)
    assert not Item.of(NODES, make.node("n")).owned_by(item("a"), ref)


@given(
    st.lists(
        st.tuples(st.sampled_from("abcd"), st.sets(st.sampled_from("abcd"), max_size=3), st.booleans()), max_size=30
    )
)
def test_both_directions_of_the_graph_agree(steps: list[tuple[str, set[str], bool]]) -> None:
    graph = Graph()
    for uid, owners, there in steps:
        if there:
            graph.observe(item(uid, *sorted(owners)))
        else:
            graph.remove(uid)
        graph.check_invariants()

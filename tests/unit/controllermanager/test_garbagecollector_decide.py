"""What the garbage collector decides: tables over pure functions, and its graph."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery.scheme import NODES, PODS
from kubelab.controllermanager.garbagecollector.decide import Delete, DropOwners, Keep, Owner, judge
from kubelab.controllermanager.garbagecollector.graph import FOREGROUND, ORPHAN, Graph, Item
from tests.support import objects as make


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

"""Node selectors and node affinity: which nodes they take."""

from __future__ import annotations

import pytest

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery.core.nodeaffinity import NODE_NAME, RequiredNodeAffinity, preferred_terms

Requirement = tuple[str, str, list[str]]
LABELS = {"disk": "ssd", "cores": "8"}


def spec(*terms: list[Requirement], fields: list[Requirement] | None = None, **selector: str) -> core_pb2.PodSpec:
    """Make a pod's spec; ``fields`` belong to the last term."""
    made = core_pb2.PodSpec(nodeSelector=selector)
    required = made.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution
    for term in terms:
        added = required.nodeSelectorTerms.add()
        for key, operator, values in term:
            added.matchExpressions.add(key=key, operator=operator, values=values)
    for key, operator, values in fields or []:
        required.nodeSelectorTerms[-1].matchFields.add(key=key, operator=operator, values=values)
    return made


@pytest.mark.parametrize(
    ("one", "taken"),
    [
        (core_pb2.PodSpec(), True),
        (core_pb2.PodSpec(nodeSelector={"disk": "ssd"}), True),
        (core_pb2.PodSpec(nodeSelector={"disk": "ssd", "zone": "b"}), False),
        (core_pb2.PodSpec(nodeSelector={"gpu": ""}), False),
        (spec([("disk", "In", ["ssd", "nvme"])]), True),
        (spec([("disk", "In", ["hdd"])], [("cores", "Gt", ["4"])]), True),  # one of the terms is enough
        (spec([("disk", "In", ["ssd"]), ("cores", "Lt", ["8"])]), False),  # of a term every part must hold
        (spec([("disk", "NotIn", ["hdd"]), ("gpu", "DoesNotExist", []), ("cores", "Exists", [])]), True),
        (spec([]), False),  # a term without anything takes no node
        (spec([], fields=[(NODE_NAME, "In", ["node-1"])]), True),
        (spec([], fields=[(NODE_NAME, "NotIn", ["node-1"])]), False),
        (spec([("disk", "In", ["hdd"])], fields=[(NODE_NAME, "In", ["node-1"])]), False),
        (spec([("disk", "Odd", ["ssd"])]), False),
        (spec([("disk", "In", ["ssd"])], zone="b"), False),
    ],
)
def test_which_nodes_are_taken(one: core_pb2.PodSpec, taken: bool) -> None:
    assert RequiredNodeAffinity.of(one).matches(LABELS, "node-1") is taken


@pytest.mark.parametrize(
    ("one", "names"),
    [
        (core_pb2.PodSpec(nodeSelector={"disk": "ssd"}), None),
        (spec([("disk", "In", ["ssd"])]), None),
        (spec([], fields=[(NODE_NAME, "In", ["a"])]), {"a"}),
        (spec([], fields=[(NODE_NAME, "In", ["a"]), (NODE_NAME, "In", ["b"])]), set[str]()),
        (spec([("x", "Exists", [])], [], fields=[(NODE_NAME, "In", ["a"])]), None),  # the first term limits none
        (spec([], fields=[(NODE_NAME, "NotIn", ["a"])]), None),
    ],
)
def test_names_that_limit_the_nodes(one: core_pb2.PodSpec, names: set[str] | None) -> None:
    assert RequiredNodeAffinity.of(one).names() == names


def test_preferences_have_weights() -> None:
    made = core_pb2.PodSpec()
    preferred = made.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution.add(weight=7)
    preferred.preference.matchExpressions.add(key="disk", operator="Exists")
    ((weight, term),) = preferred_terms(made)
    assert (weight, term.matches(LABELS, "a"), term.matches({}, "a")) == (7, True, False)

"""What the deployment controller decides: tables over pure functions."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from kubelab.api.apps.v1 import apps_pb2
from kubelab.controllermanager.deployment import decide, replicasets
from tests.support import objects as make


def replica_set(
    name: str, size: int, available: int | None = None, *, pods: int | None = None, noted: int = 0, revision: int = 1
) -> apps_pb2.ReplicaSet:
    made = make.replica_set(name, replicas=size)
    made.status.observedGeneration = 1
    made.status.replicas = size if pods is None else pods
    made.status.availableReplicas = made.status.replicas if available is None else available
    made.metadata.annotations["deployment.kubernetes.io/revision"] = str(revision)
    if noted:
        made.metadata.annotations["deployment.kubernetes.io/desired-replicas"] = str(noted)
        made.metadata.annotations["deployment.kubernetes.io/max-replicas"] = str(noted + noted // 4)
    return made


@dataclass
class Step:
    name: str
    new: apps_pb2.ReplicaSet
    old: list[apps_pb2.ReplicaSet]
    then: dict[str, int]
    replicas: int = 10
    surge: int | str = 3
    unavailable: int | str = 2


STEPS = [
    Step("at rest", replica_set("new", 10), [replica_set("old", 0)], {}),
    Step("the new one grows by the surge", replica_set("new", 0), [replica_set("old", 10)], {"new": 3}),
    Step("old ones shrink when no room is left", replica_set("new", 3, 0), [replica_set("old", 10)], {"old": 8}),
    Step("pods that still go away take room", replica_set("new", 3, 0), [replica_set("old", 8, pods=10)], {}),
    Step("their room is used when they are gone", replica_set("new", 3, 0), [replica_set("old", 8)], {"new": 5}),
    Step("nothing shrinks while the new one is not available", replica_set("new", 5, 0), [replica_set("old", 8)], {}),
    Step("unhealthy old pods go first", replica_set("new", 5, 2), [replica_set("old", 8, 5)], {"old": 6}),
    Step("too many are taken back", replica_set("new", 12), [replica_set("old", 0)], {"new": 10}),
    Step("no surge", replica_set("new", 0), [replica_set("old", 10)], {"old": 8}, surge=0),
    Step("shares are rounded for safety", replica_set("new", 0), [replica_set("old", 3)], {"new": 1}, 3, "25%", "25%"),
    Step("none of both is one unavailable", replica_set("new", 0), [replica_set("old", 1)], {"old": 0}, 1, "0%", "1%"),
]


@pytest.mark.parametrize("case", STEPS, ids=lambda case: case.name)
def test_a_step_of_a_rolling_update(case: Step) -> None:
    deployment = make.deployment(replicas=case.replicas, surge=case.surge, unavailable=case.unavailable)
    steps = decide.rolling(deployment, case.new, case.old)
    assert {step.replica_set.metadata.name: step.size for step in steps} == case.then


def test_a_replica_set_that_has_not_seen_its_size_holds_the_new_one_back() -> None:
    old = replica_set("old", 5)
    old.metadata.generation = 2
    assert decide.size_of_new(make.deployment(replicas=10, surge=3), 0, [old]) == 0


@pytest.mark.parametrize(
    ("replicas", "sizes"),
    [(16, {"new": 8, "old": 12}), (4, {"new": 2, "old": 3}), (0, {"new": 0, "old": 0})],
)
def test_scaling_amid_a_rollout_keeps_the_shares(replicas: int, sizes: dict[str, int]) -> None:
    deployment = make.deployment(replicas=replicas)
    new, old = replica_set("new", 4, noted=8), replica_set("old", 6, noted=8)
    assert decide.is_scaling(deployment, [new, old])
    scalings = decide.proportional(deployment, new, [old])
    assert {scaling.replica_set.metadata.name: scaling.size for scaling in scalings} == sizes


def test_the_oldest_empty_replica_sets_are_superfluous() -> None:
    deployment = make.deployment()
    deployment.spec.revisionHistoryLimit = 1
    old = [replica_set("c", 0, revision=3), replica_set("a", 0, revision=1), replica_set("b", 0, pods=1, revision=2)]
    assert [rs.metadata.name for rs in decide.superfluous(deployment, old)] == ["a"]
    deployment.spec.revisionHistoryLimit = 2**31 - 1
    assert decide.superfluous(deployment, old) == []


def test_a_rollback_is_noted_in_the_history() -> None:
    deployment = make.deployment()
    new = replicasets.refreshed(deployment, replica_set("new", 1, revision=1), [replica_set("old", 1, revision=2)])
    again = replicasets.refreshed(deployment, new, [replica_set("old", 1, revision=4)])
    assert again.metadata.annotations["deployment.kubernetes.io/revision"] == "5"
    assert again.metadata.annotations["deployment.kubernetes.io/revision-history"] == "1,3"
    assert replicasets.refreshed(deployment, again, [replica_set("old", 1, revision=4)]) == again


def test_a_hash_is_stable_and_differs_after_a_collision() -> None:
    template = make.deployment().spec.template
    names = {replicasets.template_hash(template, count) for count in (None, None, 0, 1)}
    assert len(names) == 3
    assert all(set(name) <= set("bcdfghjklmnpqrstvwxz2456789") for name in names)

"""The gate: which schema and level a request has, what waits, what is refused, and what is told of it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from kubelab.apimachinery import errors
from kubelab.apimachinery.manifest.decode import decode
from kubelab.apiserver.flowcontrol import defaultobjects
from kubelab.apiserver.flowcontrol.dumps import ROOT, dumps
from kubelab.apiserver.flowcontrol.gate import Flow, Gate, Ticket
from kubelab.apiserver.flowcontrol.matching import Digest
from kubelab.apiserver.flowcontrol.metrics import FlowControlMetrics
from kubelab.auth.users import AUTHENTICATED, User
from tests.support.clock import FakeClock


def user(name: str, *groups: str) -> User:
    return User(name, frozenset({*groups, AUTHENTICATED}))


NODE = user("system:node:node-1", "system:nodes")
ACCOUNT = user("system:serviceaccount:default:reports", "system:serviceaccounts", "system:serviceaccounts:default")
SYSTEM_ACCOUNT = user("system:serviceaccount:kube-system:dns", "system:serviceaccounts")
MANAGER, JANE = user("system:kube-controller-manager"), user("jane")
LEASES = "coordination.k8s.io", "leases"


@pytest.mark.parametrize(
    ("digest", "schema", "level"),
    [
        (Digest(user("root", "system:masters"), "list", "", "pods"), "exempt", "exempt"),
        (Digest(JANE, "get", path="/readyz"), "probes", "exempt"),
        (Digest(JANE, "get", path="/readyz/etcd"), "global-default", "global-default"),
        (Digest(JANE, "get", path="/version"), "global-default", "global-default"),
        (Digest(NODE, "update", "", "nodes/status"), "system-node-high", "node-high"),
        (Digest(NODE, "update", *LEASES, "kube-node-lease"), "system-node-high", "node-high"),
        (Digest(NODE, "list", "", "pods"), "system-nodes", "system"),
        (Digest(MANAGER, "update", *LEASES, "kube-system"), "system-leader-election", "leader-election"),
        (Digest(MANAGER, "update", "", "endpoints", "default"), "endpoint-controller", "workload-high"),
        (Digest(MANAGER, "create", "", "pods", "default"), "kube-controller-manager", "workload-high"),
        (Digest(user("system:kube-scheduler"), "create", "", "pods/binding", "x"), "kube-scheduler", "workload-high"),
        (Digest(user("system:kube-proxy"), "watch", "", "services"), "kube-proxy", "workload-high"),
        (Digest(SYSTEM_ACCOUNT, "get", "", "configmaps", "x"), "workload-leader-election", "leader-election"),
        (Digest(SYSTEM_ACCOUNT, "list", "", "pods"), "kube-system-service-accounts", "workload-high"),
        (Digest(ACCOUNT, "list", "", "pods", "default"), "service-accounts", "workload-low"),
        (Digest(JANE, "list", "apps", "deployments", "default"), "global-default", "global-default"),
        (Digest(User("nobody", frozenset()), "get", "", "pods", "default"), "catch-all", "catch-all"),
    ],
)
def test_who_is_at_which_level(digest: Digest, schema: str, level: str) -> None:
    flow = Gate(600, FakeClock()).flow(digest)
    assert (flow.schema, flow.level.name) == (schema, level)


LOW = """\
apiVersion: flowcontrol.apiserver.k8s.io/v1
kind: PriorityLevelConfiguration
metadata: {name: low, uid: uid-of-low}
spec:
  type: Limited
  limited:
    nominalConcurrencyShares: 1
    borrowingLimitPercent: 0
    limitResponse: {type: Queue, queuing: {queues: 8, handSize: 1, queueLengthLimit: 2}}
---
apiVersion: flowcontrol.apiserver.k8s.io/v1
kind: FlowSchema
metadata: {name: jane, uid: uid-of-jane}
spec:
  priorityLevelConfiguration: {name: low}
  matchingPrecedence: 2
  distinguisherMethod: {type: ByNamespace}
  rules:
  - subjects: [{kind: User, user: {name: jane}}]
    resourceRules: [{verbs: ['*'], apiGroups: ['*'], resources: [pods], namespaces: ['*']}]
---
apiVersion: flowcontrol.apiserver.k8s.io/v1
kind: FlowSchema
metadata: {name: dangling}
spec:
  priorityLevelConfiguration: {name: none}
  matchingPrecedence: 2
  rules:
  - subjects: [{kind: User, user: {name: '*'}}]
    resourceRules: [{verbs: ['*'], apiGroups: ['*'], resources: ['*'], namespaces: ['*'], clusterScope: true}]
"""
LIST = Digest(JANE, "list", "", "pods", "default")


def objects() -> list[Any]:
    return [document.obj for document in decode(LOW, "low.yml")]


def small(clock: FakeClock) -> Gate:
    """One with one seat for jane's requests for pods."""
    gate = Gate(6, clock)
    low, *schemas = objects()
    gate.configure([low], schemas)
    return gate


def enter(gate: Gate, digest: Digest = LIST) -> tuple[Flow, Ticket]:
    flow = gate.flow(digest)
    return flow, gate.enter(flow, 1, flow)


async def test_a_request_waits_for_a_seat_and_is_refused_after_a_quarter_of_a_minute() -> None:
    clock = FakeClock()
    gate = small(clock)
    first, second, third = enter(gate), enter(gate), enter(gate)
    assert [ticket.waiting for _, ticket in (first, second, third)] == [False, True, True]
    with pytest.raises(errors.TooManyRequests) as refused:
        enter(gate)
    assert (refused.value.message, refused.value.retry_after_seconds) == (
        "Too many requests, please try again later.",
        1,
    )
    async with asyncio.TaskGroup() as group:
        turn = group.create_task(gate.turn(*second))
        late = group.create_task(_fails(gate, *third))
        await clock.advance(5.0)
        assert not turn.done()
        gate.leave(*first)
        await turn
        await clock.advance(15.0)
        assert (await late).message == "Too many requests, please try again later."
    gate.leave(*second)
    counts = gate.counts["low", "jane"]
    assert (counts.executing, counts.waiting, counts.dispatched) == (0, 0, 2)
    assert counts.rejected == {"queue-full": 1, "time-out": 1}
    gate.levels["low"].queues.check_invariants()


async def _fails(gate: Gate, flow: Flow, ticket: Ticket) -> errors.TooManyRequests:
    with pytest.raises(errors.TooManyRequests) as refused:
        await gate.turn(flow, ticket)
    return refused.value


async def test_who_hangs_up_gives_the_place_or_the_seat_back() -> None:
    clock = FakeClock()
    gate = small(clock)
    first, second, third = enter(gate), enter(gate), enter(gate)
    waiting = asyncio.create_task(gate.turn(*third))
    granted = asyncio.create_task(gate.turn(*second))
    await clock.settle()
    waiting.cancel()
    gate.leave(*first)
    granted.cancel()  # in the moment in which its turn has come
    await asyncio.gather(waiting, granted, return_exceptions=True)
    assert waiting.cancelled()
    assert granted.cancelled()
    assert gate.levels["low"].queues.queues == []
    assert not enter(gate)[1].waiting


async def test_another_configuration_holds_for_those_that_wait_too() -> None:
    clock = FakeClock()
    gate = small(clock)
    first, second = enter(gate), enter(gate)
    turn = asyncio.create_task(gate.turn(*second))
    await clock.settle()
    low, jane, _ = objects()
    low.spec.limited.nominalConcurrencyShares = 500
    gate.configure([low], [jane])
    await asyncio.wait_for(turn, 5)
    gate.configure([], [])
    assert gate.flow(LIST).level.name == "global-default"
    gate.leave(*first)
    gate.leave(*second)
    assert first[0].level.queues.queues == []


async def test_a_flood_of_one_user_leaves_everybody_else_alone() -> None:
    gate = Gate(60, FakeClock())
    flood = Digest(ACCOUNT, "list", "", "pods", "default")
    refused = 0
    for _ in range(2000):
        try:
            enter(gate, flood)
        except errors.TooManyRequests:
            refused += 1
    assert refused > 1000
    for digest in (
        Digest(NODE, "update", *LEASES, "kube-node-lease"),
        Digest(MANAGER, "update", *LEASES, "kube-system"),
        Digest(user("admin"), "get", "", "pods", "default"),
        Digest(user("root", "system:masters"), "get", "", "pods", "default"),
    ):
        assert not enter(gate, digest)[1].waiting, digest
    assert enter(gate, flood._replace(user=user("x", "system:serviceaccounts")))[1].waiting, "and not refused"


async def test_metrics_and_dumps_tell_what_waits() -> None:
    clock = FakeClock()
    gate, registry = small(clock), CollectorRegistry()
    registry.register(FlowControlMetrics(gate))
    first, second = enter(gate), enter(gate)

    def value(name: str, labels: Mapping[str, str]) -> float | None:
        return registry.get_sample_value(
            f"apiserver_flowcontrol_{name}", {"priority_level": "low", "flow_schema": "jane", **labels}
        )

    assert value("current_inqueue_requests", {}) == 1
    assert value("current_executing_requests", {}) == 1
    told = dumps(gate, clock)
    assert (
        "low,               1,            false,  false,       1,               1"
        in told[f"{ROOT}dump_priority_levels"]()
    )
    row = told[f"{ROOT}dump_requests"]().splitlines()[1].split()
    assert [row[0], row[1], row[3], row[4], row[5]] == ["low,", "jane,", "0,", "default,", "2026-01-01T00:00:00Z"]
    assert "low," in told[f"{ROOT}dump_queues"]()
    turn = asyncio.create_task(gate.turn(*second))
    await clock.advance(0.1)
    gate.leave(*first)
    await turn
    assert value("dispatched_requests_total", {}) == 2
    assert value("request_wait_duration_seconds_bucket", {"execute": "true", "le": "0.05"}) == 1
    assert value("request_wait_duration_seconds_bucket", {"execute": "true", "le": "0.1"}) == 2
    assert value("request_wait_duration_seconds_count", {"execute": "true"}) == 2


def test_every_default_level_is_used_by_a_default_schema() -> None:
    named = {schema.spec.priorityLevelConfiguration.name for schema in defaultobjects.SCHEMAS.values()}
    assert named == set(defaultobjects.LEVELS)

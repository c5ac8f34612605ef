"""The disruption controller: what budgets allow, in a whole controller-manager over an api-server in memory."""

from __future__ import annotations

import pytest

from kubelab.api.core.v1 import core_pb2
from kubelab.api.policy.v1 import policy_pb2
from kubelab.apimachinery import intstr
from kubelab.apimachinery.scheme import POD_DISRUPTION_BUDGETS, PODS
from kubelab.controllermanager.disruption import decide
from tests.support import objects as make
from tests.support.apiserver import ApiServerInMemory
from tests.unit.controllermanager.conftest import Run
from tests.unit.controllermanager.objects import events

WEB = make.replication_controller("web", replicas=4)


def budget(**bounds: str | int) -> policy_pb2.PodDisruptionBudget:
    made = policy_pb2.PodDisruptionBudget()
    made.metadata.name, made.metadata.namespace, made.metadata.generation = "web", "default", 1
    made.spec.selector.matchLabels["app"] = "web"
    for field, value in bounds.items():
        given = intstr.from_string(value) if isinstance(value, str) else intstr.from_int(value)
        getattr(made.spec, field).CopyFrom(given)
    return made


def pod(n: int, *, ready: bool = True, owned: bool = True, deleting: bool = False) -> core_pb2.Pod:
    return make.pod(
        f"web-{n}",
        labels={"app": "web"},
        node="node-1",
        phase="Running",
        ready=ready,
        owner=make.controlled_by(WEB) if owned else None,
        deleting=deleting,
    )


def status(server: ApiServerInMemory) -> policy_pb2.PodDisruptionBudgetStatus:
    found = server.get(POD_DISRUPTION_BUDGETS, "default/web")
    assert found is not None
    return found.status


def numbers(server: ApiServerInMemory) -> tuple[int, int, int, int]:
    now = status(server)
    return now.disruptionsAllowed, now.currentHealthy, now.desiredHealthy, now.expectedPods


@pytest.mark.parametrize(
    ("bounds", "pods", "scale", "want"),
    [
        ({"minAvailable": 2}, 3, 0, decide.Expected(3, 2)),
        ({"minAvailable": "50%"}, 3, 5, decide.Expected(5, 3)),
        ({"maxUnavailable": 1}, 3, 5, decide.Expected(5, 4)),
        ({"maxUnavailable": "30%"}, 3, 5, decide.Expected(5, 3)),
        ({"maxUnavailable": 9}, 3, 5, decide.Expected(5, 0)),
        ({}, 3, 5, decide.Expected(0, 0)),
    ],
)
def test_what_is_expected(bounds: dict[str, str | int], pods: int, scale: int, want: decide.Expected) -> None:
    assert decide.expected(budget(**bounds), pods, scale) == want


async def test_a_budget_follows_its_pods(running: Run) -> None:
    server = ApiServerInMemory()
    server.add(WEB, budget(maxUnavailable=1), *(pod(n) for n in range(4)))
    async with running(server, "disruption"):
        await server.until(lambda: numbers(server) == (1, 4, 3, 4))
        (condition,) = status(server).conditions
        assert (condition.type, condition.status, condition.reason) == ("DisruptionAllowed", "True", "SufficientPods")
        assert (status(server).observedGeneration, condition.observedGeneration) == (1, 1)
        server.add(pod(0, ready=False))
        await server.until(lambda: numbers(server) == (0, 3, 3, 4))
        assert status(server).conditions[0].reason == "InsufficientPods"
        server.remove(PODS, "default/web-1")
        await server.until(lambda: numbers(server) == (0, 2, 3, 4))


async def test_an_eviction_counts_until_the_pod_is_gone(running: Run) -> None:
    server = ApiServerInMemory()
    server.add(WEB, budget(minAvailable=3), *(pod(n) for n in range(4)))
    client = server.client("user")
    async with running(server, "disruption"):
        await server.until(lambda: numbers(server) == (1, 4, 3, 4))
        eviction = policy_pb2.Eviction()
        eviction.metadata.name, eviction.metadata.namespace = "web-0", "default"
        await client.evict(eviction)
        await server.until(lambda: numbers(server) == (0, 3, 3, 4) and not status(server).disruptedPods)
        server.remove(PODS, "default/web-0")
        await server.until(lambda: numbers(server) == (0, 3, 3, 3))
        server.add(pod(5))
        await server.until(lambda: numbers(server) == (1, 4, 3, 4))


async def test_pods_without_a_controller(running: Run) -> None:
    server = ApiServerInMemory()
    server.add(budget(minAvailable="50%"), pod(0, owned=False))
    async with running(server, "disruption"):
        await server.until(lambda: status(server).observedGeneration)
        assert numbers(server) == (0, 1, 0, 0)
        await server.until(lambda: events(server, "UnmanagedPods"))


async def test_pods_of_a_controller_that_is_not_there(running: Run) -> None:
    server = ApiServerInMemory()
    server.add(budget(maxUnavailable=1), pod(0))
    async with running(server, "disruption"):
        await server.until(lambda: status(server).conditions)
        (condition,) = status(server).conditions
        assert (condition.reason, condition.message) == ("SyncFailed", 'found no controllers for pod "web-0"')
        assert status(server).disruptionsAllowed == 0


def test_an_eviction_that_came_to_nothing() -> None:
    one = budget(minAvailable=1)
    one.status.disruptedPods["web-0"].seconds = 1000
    one.status.disruptedPods["web-1"].seconds = 1100
    found = decide.disrupted(one, [pod(0), pod(1)], 1121.0)
    assert [late.metadata.name for late in found.not_deleted] == ["web-0"]
    assert (found.pods, found.wait) == ({"web-1": 1100.0}, 99.0)
    assert decide.disrupted(one, [pod(0, deleting=True)], 1121.0).pods == {}

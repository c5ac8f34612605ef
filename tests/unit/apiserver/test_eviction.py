"""Evictions: what a disruption budget allows, what an eviction leaves, and the words of those that are refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from kubelab.api.core.v1 import core_pb2
from kubelab.api.policy.v1 import policy_pb2
from kubelab.apimachinery import errors, intstr
from kubelab.apimachinery.scheme import POD_DISRUPTION_BUDGETS, PODS
from kubelab.client.client import Client
from tests.support import objects as make
from tests.support.apiserver import ApiServerInMemory

VIOLATED = "Cannot evict pod as it would violate the pod's disruption budget."


@pytest.fixture
async def server() -> ApiServerInMemory:
    server = ApiServerInMemory()
    for n in range(3):
        server.add(make.pod(f"web-{n}", labels={"app": "web"}, node="node-1", phase="Running", ready=True))
    return server


@pytest.fixture
async def client(server: ApiServerInMemory) -> AsyncGenerator[Client]:
    async with server.client("kctl") as client:
        yield client


def budget(
    name: str = "web", *, allowed: int = 1, healthy: int = 3, desired: int = 2
) -> policy_pb2.PodDisruptionBudget:
    made = policy_pb2.PodDisruptionBudget()
    made.metadata.name, made.metadata.namespace, made.metadata.generation = name, "default", 1
    made.spec.minAvailable.CopyFrom(intstr.from_int(desired))
    made.spec.selector.matchLabels["app"] = "web"
    status = made.status
    status.observedGeneration, status.disruptionsAllowed = 1, allowed
    status.currentHealthy, status.desiredHealthy, status.expectedPods = healthy, desired, 3
    return made


def eviction(name: str, **options: object) -> policy_pb2.Eviction:
    made = policy_pb2.Eviction()
    made.metadata.name, made.metadata.namespace = name, "default"
    for option, value in options.items():
        if option == "uid":
            made.deleteOptions.preconditions.uid = str(value)
        elif option == "dry_run":
            made.deleteOptions.dryRun.append("All")
    return made


def pod(server: ApiServerInMemory, name: str) -> core_pb2.Pod:
    found = server.get(PODS, f"default/{name}")
    assert found is not None
    return found


def status(server: ApiServerInMemory, name: str = "web") -> policy_pb2.PodDisruptionBudgetStatus:
    found = server.get(POD_DISRUPTION_BUDGETS, f"default/{name}")
    assert found is not None
    return found.status


async def test_without_a_budget_the_pod_goes_and_says_why(server: ApiServerInMemory, client: Client) -> None:
    await client.evict(eviction("web-0"))
    gone = pod(server, "web-0")
    assert gone.metadata.HasField("deletionTimestamp")
    (condition,) = [c for c in gone.status.conditions if c.type == "DisruptionTarget"]
    assert (condition.status, condition.reason) == ("True", "EvictionByEvictionAPI")
    assert condition.message == "Eviction API: evicting"


async def test_a_budget_is_used_up_even_by_many_at_once(server: ApiServerInMemory, client: Client) -> None:
    server.add(budget())
    answers = await asyncio.gather(*(client.evict(eviction(f"web-{n}")) for n in range(3)), return_exceptions=True)
    refused = [answer for answer in answers if answer is not None]
    assert len(refused) == 2
    for error in refused:
        assert isinstance(error, errors.TooManyRequests)
        assert error.message == VIOLATED
        assert [cause.message for cause in error.causes] == [
            "The disruption budget web needs 2 healthy pods and has 3 currently"
        ]
    assert status(server).disruptionsAllowed == 0
    assert len(status(server).disruptedPods) == 1
    assert [(c.type, c.status, c.reason) for c in status(server).conditions] == [
        ("DisruptionAllowed", "False", "InsufficientPods")
    ]


async def test_a_budget_that_is_not_counted_yet(server: ApiServerInMemory, client: Client) -> None:
    made = budget()
    made.metadata.generation = 2
    server.add(made)
    with pytest.raises(errors.TooManyRequests) as caught:
        await client.evict(eviction("web-0"))
    assert caught.value.retry_after_seconds == 10
    assert caught.value.causes[0].message == "The disruption budget web is still being processed by the server."


async def test_a_dry_run_takes_nothing(server: ApiServerInMemory, client: Client) -> None:
    server.add(budget())
    await client.evict(eviction("web-0", dry_run=True))
    assert status(server).disruptionsAllowed == 1
    assert not pod(server, "web-0").metadata.HasField("deletionTimestamp")
    server.add(budget(allowed=0))
    with pytest.raises(errors.TooManyRequests):
        await client.evict(eviction("web-0", dry_run=True))


async def test_which_pods_need_no_budget(server: ApiServerInMemory, client: Client) -> None:
    server.add(budget(allowed=0))
    server.add(make.pod("pending", labels={"app": "web"}))
    server.add(make.pod("ended", labels={"app": "web"}, node="node-1", phase="Succeeded"))
    for name in ("pending", "ended"):
        await client.evict(eviction(name))
        assert server.get(PODS, f"default/{name}") is None


@pytest.mark.parametrize(
    ("policy", "healthy", "goes"),
    [("", 2, True), ("", 1, False), ("AlwaysAllow", 1, True), ("IfHealthyBudget", 1, False)],
)
async def test_an_unhealthy_pod(
    server: ApiServerInMemory, client: Client, policy: str, healthy: int, goes: bool
) -> None:
    made = budget(allowed=0, healthy=healthy)
    if policy:
        made.spec.unhealthyPodEvictionPolicy = policy
    server.add(made, make.pod("sick", labels={"app": "web"}, node="node-1", phase="Running", ready=False))
    if goes:
        await client.evict(eviction("sick"))
    else:
        with pytest.raises(errors.TooManyRequests):
            await client.evict(eviction("sick"))
    assert pod(server, "sick").metadata.HasField("deletionTimestamp") is goes


async def test_two_budgets_for_one_pod(server: ApiServerInMemory, client: Client) -> None:
    server.add(budget("a"), budget("b"))
    with pytest.raises(errors.ApiError, match="more than one PodDisruptionBudget"):
        await client.evict(eviction("web-0"))


async def test_preconditions(server: ApiServerInMemory, client: Client) -> None:
    with pytest.raises(errors.Conflict, match="UID in precondition: other, UID in object meta: uid-of-web-0"):
        await client.evict(eviction("web-0", uid="other"))
    assert not pod(server, "web-0").metadata.HasField("deletionTimestamp")
    with pytest.raises(errors.NotFound):
        await client.evict(eviction("nobody"))

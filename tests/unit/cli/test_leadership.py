"""Who leads, by Leases: whoever holds one, as long as it lasts."""

from __future__ import annotations

import asyncio

import pytest

from kubelab.api.coordination.v1 import coordination_pb2
from kubelab.apimachinery.timestamps import to_micro_time
from kubelab.cli import leadership
from kubelab.client.leaderelection import holder
from tests.support.apiserver import ApiServerInMemory
from tests.support.clock import FakeClock

SCHEDULER, CONTROLLERS = "scheduler@cp-1", "controller-manager@cp-2"


def lease(name: str, held_by: str, renewed: float) -> coordination_pb2.Lease:
    made = coordination_pb2.Lease()
    made.metadata.name, made.metadata.namespace = name, leadership.NAMESPACE
    made.spec.holderIdentity, made.spec.leaseDurationSeconds = held_by, 15
    made.spec.renewTime.CopyFrom(to_micro_time(renewed))
    return made


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def server(clock: FakeClock) -> ApiServerInMemory:
    return ApiServerInMemory(clock=clock)


@pytest.mark.parametrize(("age", "expected"), [(0, SCHEDULER), (14.9, SCHEDULER), (15, ""), (300, "")])
def test_a_holder_leads_while_its_lease_lasts(age: float, expected: str) -> None:
    assert holder(lease("kube-scheduler", SCHEDULER, 1000.0), 1000.0 + age) == expected


async def test_a_lease_that_has_run_out_names_no_leader(server: ApiServerInMemory, clock: FakeClock) -> None:
    server.add(lease("kube-scheduler", SCHEDULER, clock.time() - 20), lease("x", CONTROLLERS, clock.time()))
    async with server.client("kubelab") as client:
        assert await leadership.holders(client) == {CONTROLLERS}


async def test_followers_hear_when_a_lease_runs_out(server: ApiServerInMemory, clock: FakeClock) -> None:
    server.add(lease("kube-scheduler", SCHEDULER, clock.time()))
    server.add(lease("kube-controller-manager", CONTROLLERS, clock.time()))
    told: list[frozenset[str]] = []
    async with asyncio.TaskGroup() as group:
        following = group.create_task(leadership.follow(server.client("kubelab"), told.append))
        await clock.advance(10)
        assert told == [{SCHEDULER, CONTROLLERS}]
        server.add(lease("kube-scheduler", SCHEDULER, clock.time()))  # renewed
        await clock.advance(5)
        assert told[1:] == [{SCHEDULER}]
        await clock.advance(20)
        assert told[2:] == [frozenset()]
        following.cancel()

"""A Deployment under random changes, deaths and crashes stays within its bounds and ends where it should.

Every change of the store is looked at. Two things must hold:

- surge: the pods that ReplicaSets ask for or have are never more than desired and surge allow. Where a user lowers that
  limit, their number only falls from when the controller has seen it, until it is kept;
- unavailability: so many pods as may not be missing are available, less those that the test itself killed, or that a
  user asked for more, since the Deployment was last complete.
"""

from __future__ import annotations

import contextlib
import random
from collections import Counter

import pytest

from kubelab.api.apps.v1 import apps_pb2
from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import errors
from kubelab.apimachinery.apps import deployments
from kubelab.apimachinery.core.pods import is_active, is_ready
from kubelab.apimachinery.meta import get_controller_of
from kubelab.apimachinery.scheme import DEPLOYMENTS, PODS, REPLICA_SETS
from tests.support import objects as make
from tests.support.apiserver import ApiServerInMemory
from tests.support.clock import FakeClock
from tests.unit.controllermanager.conftest import Run
from tests.unit.controllermanager.test_deployment import change, complete, images, sets, web

STEPS = 40
BOUNDS = [("25%", "25%"), (1, 0), (0, 1), ("50%", 0), (3, 2), ("100%", "0%"), (0, "50%")]


class Bounds:
    """Judges every state of the store."""

    def __init__(self, server: ApiServerInMemory) -> None:
        self._server = server
        self._limit = 0
        self._mosts: dict[str, int] = {}
        self._owed: int | None = None  # None until the Deployment was complete once
        self.states = 0
        server.observers.append(self._look)

    def killed(self, pods: int) -> None:
        """The test takes pods away."""
        if self._owed is not None:
            self._owed += pods

    def _look(self) -> None:
        self.states += 1
        deployment = web(self._server)
        ready, active = Counter[str](), Counter[str]()
        for pod in self._server.objects(PODS):
            if is_active(pod) and (ref := get_controller_of(pod)) is not None:
                active[ref.uid] += 1
                ready[ref.uid] += is_ready(pod)
        present = sum(self._most(rs, active[rs.metadata.uid]) for rs in sets(self._server))
        bound = deployments.replicas(deployment) + deployments.max_surge(deployment)
        assert present <= max(bound, self._limit), f"{present} pods, where {bound} may be: {self._told(active)}"
        seen = deployment.status.observedGeneration >= deployment.metadata.generation
        self._limit = max(bound, present if seen else self._limit)
        available = ready.total()
        if complete(self._server) and available == deployments.replicas(deployment) == active.total():
            self._owed = 0
        if self._owed is not None:
            least = deployments.replicas(deployment) - deployments.max_unavailable(deployment)
            assert available >= least - self._owed, f"{available} pods available, where {least} must be"

    def _most(self, rs: apps_pb2.ReplicaSet, active: int) -> int:
        """How many pods a ReplicaSet may have. Before it has seen that it shrank, it may still make those of before."""
        most = max(rs.spec.replicas, active)
        if rs.status.observedGeneration < rs.metadata.generation:
            most = max(most, self._mosts.get(rs.metadata.uid, 0))
        self._mosts[rs.metadata.uid] = most
        return most

    def _told(self, active: Counter[str]) -> str:
        return ", ".join(
            f"{rs.metadata.name} {rs.spec.replicas} ({active[rs.metadata.uid]})" for rs in sets(self._server)
        )

    def scaled(self, before: int, after: int) -> None:
        """A user is about to ask for more, or for fewer, pods."""
        if self._owed is not None:
            self._owed += max(after - before, 0)


def run_some(server: ApiServerInMemory, pick: random.Random, share: float) -> None:
    """Do a scheduler's and a kubelet's part for some of the pods."""
    for pod in server.objects(PODS):
        if pod.metadata.HasField("deletionTimestamp"):
            if pick.random() < share:
                server.remove(PODS, f"default/{pod.metadata.name}")
        elif not is_ready(pod) and pick.random() < share:
            running = core_pb2.Pod()
            running.CopyFrom(pod)
            running.spec.nodeName, running.status.phase = "node-1", "Running"
            running.status.conditions.add(type="Ready", status="True")
            server.add(running)


def kill_one(server: ApiServerInMemory, bounds: Bounds, pick: random.Random) -> None:
    victims = [pod for pod in server.objects(PODS) if is_active(pod)]
    if victims:
        victim = pick.choice(victims)
        bounds.killed(1)
        server.remove(PODS, f"default/{victim.metadata.name}")


@pytest.mark.parametrize("seed", range(10))
async def test_bounds_hold_and_the_end_is_reached(running: Run, seed: int) -> None:
    pick, clock = random.Random(seed), FakeClock()
    server = ApiServerInMemory(clock=clock)
    surge, unavailable = BOUNDS[seed % len(BOUNDS)]
    replicas, image = pick.randrange(1, 9), "host:0"
    server.add(make.deployment(replicas=replicas, image=image, surge=surge, unavailable=unavailable), defaults=True)
    bounds = Bounds(server)
    left = STEPS
    while left:
        # One life of the controller-manager; it ends between any two of its requests.
        life = pick.randrange(1, 15)
        async with running(server, "deployment", "replicaset", clock=clock):
            for _ in range(min(life, left)):
                left -= 1
                match pick.choice(("image", "scale", "kill", "fault", "run", "run", "run", "all", "time")):
                    case "image":
                        image = f"host:{pick.randrange(4)}"
                        await change(server, image=image)
                    case "scale":
                        before, replicas = replicas, pick.randrange(9)
                        bounds.scaled(before, replicas)
                        await change(server, replicas=replicas)
                    case "kill":
                        kill_one(server, bounds, pick)
                    case "fault":
                        refused = pick.choice((errors.Unavailable("later"), errors.Conflict("changed")))
                        verb = pick.choice(("create", "update", "delete"))
                        server.fail(refused, verb=verb, times=1, after=pick.random() < 0.5)
                    case "run":
                        run_some(server, pick, 0.5)
                    case "all":
                        await settled(server, clock)
                    case _:
                        await clock.advance(pick.choice((0.05, 1, 5)))
                if pick.random() < 0.7:
                    await clock.settle()
    async with running(server, "deployment", "replicaset", clock=clock):
        await settled(server, clock)
    assert complete(server)
    mine = [pod for pod in server.objects(PODS) if is_active(pod)]
    assert [pod.spec.containers[0].image for pod in mine] == [image] * replicas
    assert sum(rs.spec.replicas for rs in server.objects(REPLICA_SETS)) == replicas
    assert len(set(images(server))) == len(server.objects(REPLICA_SETS))
    assert bounds.states > STEPS


async def settled(server: ApiServerInMemory, clock: FakeClock) -> None:
    """Let every pod run, and the controllers work, until nothing changes any more."""
    for _ in range(60):
        run_some(server, random.Random(0), 1.1)
        with contextlib.suppress(errors.ApiError):
            await clock.advance(30)
        deployment = server.get(DEPLOYMENTS, "default/web")
        assert deployment is not None
        if complete(server) and len(server.objects(PODS)) == deployment.spec.replicas:
            return
    raise AssertionError("the Deployment does not come to rest")

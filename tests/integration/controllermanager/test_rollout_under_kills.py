"""A roll-out keeps its bounds while the process of the controller-manager is killed again and again."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Protocol

import pytest

from kubelab.api.apps.v1 import apps_pb2
from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery.core.pods import is_active, is_ready
from kubelab.apimachinery.scheme import DEPLOYMENTS, PODS, Resource
from kubelab.client.client import Client
from kubelab.client.informer import Informer
from tests.integration.controllermanager.test_processes import config_of
from tests.support import objects as make
from tests.support.pki import TestAuthority


class Plane(Protocol):
    """The fixture's class, as far as it is used here."""

    admin: Client
    authority: TestAuthority
    port: int

    async def add_node(self, name: str) -> None: ...
    async def start_scheduler(self) -> Callable[[], Awaitable[None]]: ...
    async def start_kubelets(self) -> None: ...
    async def until(
        self,
        resource: Resource[Any],
        condition: Callable[[list[Any]], object],
        namespace: str = ...,
    ) -> None: ...


REPLICAS, SURGE, UNAVAILABLE, KILLS = 12, 2, 1, 3
NEW = "host:2"


class Watched:
    """Looks at every change of a pod, in the order in which they happened."""

    def __init__(self, plane: Plane) -> None:
        self._pods: dict[str, core_pb2.Pod] = {}
        self._changed = asyncio.Event()
        self.most, self.least = 0, REPLICAS
        self.complete = False
        self.informer = Informer(plane.admin, PODS)
        self.informer.add_handler(on_add=self._seen, on_update=lambda _, new: self._seen(new), on_delete=self._gone)

    @property
    def active(self) -> list[core_pb2.Pod]:
        return [pod for pod in self._pods.values() if is_active(pod)]

    def renewed(self) -> int:
        """How many pods of the new template there are."""
        return sum(pod.spec.containers[0].image == NEW for pod in self.active)

    async def until(self, renewed: int) -> None:
        async with asyncio.timeout(60):
            while self.renewed() < renewed:
                self._changed.clear()
                await self._changed.wait()

    def _seen(self, pod: core_pb2.Pod) -> None:
        self._pods[pod.metadata.name] = pod
        self._look()

    def _gone(self, pod: core_pb2.Pod) -> None:
        self._pods.pop(pod.metadata.name, None)
        self._look()

    def _look(self) -> None:
        self.most = max(self.most, len(self.active))
        if self.complete:
            self.least = min(self.least, sum(is_ready(pod) for pod in self.active))
        self._changed.set()


@pytest.fixture
async def watched(plane: Plane) -> AsyncIterator[Watched]:
    watched = Watched(plane)
    task = asyncio.ensure_future(watched.informer.run())
    yield watched
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


@contextlib.asynccontextmanager
async def controllers(plane: Plane, folder: Path) -> AsyncGenerator[None]:
    """Run a controller-manager in a process of its own, which ends by SIGKILL."""
    folder.mkdir()
    config = config_of(plane, "controller-manager", "system:kube-controller-manager", folder)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "kubelab.controllermanager", "--config", str(config), stderr=asyncio.subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process.kill()
        await process.wait()


@pytest.mark.timeout(180)
async def test_bounds_hold_while_the_controller_manager_is_killed(
    plane: Plane, watched: Watched, tmp_path: Path
) -> None:
    await plane.add_node("node-1")
    await plane.start_scheduler()
    await plane.start_kubelets()
    wanted = make.deployment(replicas=REPLICAS, image="host:1", surge=SURGE, unavailable=UNAVAILABLE)
    wanted.metadata.uid, wanted.metadata.generation = "", 0  # as a user writes it
    async with controllers(plane, tmp_path / "first"):
        await plane.admin.create(wanted)
        await plane.until(DEPLOYMENTS, lambda found: [d.status.availableReplicas for d in found] == [REPLICAS])
        watched.complete = True
        await change_image(plane)
        await watched.until(renewed=1)
    for kill in range(1, KILLS):
        async with controllers(plane, tmp_path / f"killed-{kill}"):
            await watched.until(renewed=1 + kill * REPLICAS // KILLS)
    async with controllers(plane, tmp_path / "last"):
        await plane.until(DEPLOYMENTS, lambda found: all(rolled_out(one) for one in found))
    assert watched.most <= REPLICAS + SURGE
    assert watched.least >= REPLICAS - UNAVAILABLE
    assert watched.most > REPLICAS, "the roll-out used its surge"
    assert watched.renewed() == len(watched.active) == REPLICAS


async def change_image(plane: Plane) -> None:
    deployment = await plane.admin.get(DEPLOYMENTS, "web", "default")
    deployment.spec.template.spec.containers[0].image = NEW
    await plane.admin.update(deployment)


def rolled_out(deployment: apps_pb2.Deployment) -> bool:
    status = deployment.status
    seen = status.observedGeneration == deployment.metadata.generation
    return seen and status.updatedReplicas == status.replicas == status.availableReplicas == REPLICAS

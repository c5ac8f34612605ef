"""Faults of containers (kill, stop, pause …), with the same meaning as for local processes.

After ``docker kill`` no restart policy starts the container again; after the kernel's signal it does. A container's
first process cannot be killed from inside: a short-lived helper that sees the daemon's pids sends it.

A node's machine holds the namespaces that its other containers share: they end with it. When it is back, docker has
started those again whose turn came late enough; the others are started here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from kubelab.apimachinery.errors import BadRequest
from kubelab.cluster.containers import MACHINE, ComposeContainer
from kubelab.cluster.docker import Docker
from kubelab.cluster.driver import Action, ProcessState

GRACE_SECONDS = 10
STOP_SECONDS = 40.0
DEAD_SECONDS = 15.0
STARTED_SECONDS = 30.0
Until = Callable[[Callable[[list[ComposeContainer]], bool], float], Awaitable[bool]]


class ComposeActions:
    """``until`` waits for something to be true of the cluster's containers."""

    def __init__(self, docker: Docker, until: Until) -> None:
        self._docker, self._until = docker, until

    async def act(self, action: Action, container: ComposeContainer, others: Sequence[ComposeContainer]) -> None:
        """Carry out an action; returns after its effect. BadRequest where the container's state does not allow it."""
        match action:
            case Action.KILL:
                await self._kill(container)
            case Action.STOP:
                await self._stop(container)
            case Action.START:
                await self._start(container, others)
            case Action.RESTART:
                await self._stop(container)
                await self._start(container, others)
            case Action.PAUSE:
                await self._pause(container)
            case Action.RESUME:
                await self._resume(container)

    async def _kill(self, container: ComposeContainer) -> None:
        _must_run(container)
        await self._docker.call(
            *("run", "--rm", "--pid", "host", "--network", "none", "--user", "0:0", "--cap-drop", "ALL"),
            *("--cap-add", "KILL", "--entrypoint", "/bin/sh", container.image, "-c", f"kill -9 {container.pid}"),
        )
        if container.status == "paused":  # a frozen process dies when it is let go
            await self._docker.call("unpause", container.id)
        await self._until(lambda containers: _of(containers, container).pid != container.pid, DEAD_SECONDS)
        if container.identity.component == MACHINE:
            await self._until(lambda containers: _of(containers, container).runs, STARTED_SECONDS)
            await self._bring_back(container)

    async def _stop(self, container: ComposeContainer) -> None:
        if container.status == "paused":
            await self._docker.call("unpause", container.id)
        if container.runs or container.status == "restarting":
            await self._docker.call("stop", "--time", str(GRACE_SECONDS), container.id, timeout=STOP_SECONDS)

    async def _start(self, container: ComposeContainer, others: Sequence[ComposeContainer]) -> None:
        if container.network_of != container.id:
            below = next((c for c in others if c.id == container.network_of), None)
            if below is None or not below.runs:
                carrier = below.name if below else "its node"
                raise BadRequest(f"{container.name} lives in {carrier}, which does not run: start that first")
        if container.status != "paused":
            await self._docker.call("start", container.id)
        if container.identity.component == MACHINE:
            await self._until(
                lambda containers: _of(containers, container).state is ProcessState.RUNNING, STARTED_SECONDS
            )
            await self._bring_back(container)
        await self._until(lambda containers: _of(containers, container).state is ProcessState.RUNNING, STARTED_SECONDS)

    async def _bring_back(self, machine: ComposeContainer) -> None:
        """Start what could not be started while the machine was away; what a person has stopped stays so."""

        def settled(containers: list[ComposeContainer]) -> bool:
            return all(c.status != "restarting" for c in containers if c.network_of == machine.id)

        remaining: list[str] = []

        def look(containers: list[ComposeContainer]) -> bool:
            if not settled(containers):
                return False
            remaining[:] = [c.id for c in containers if c.network_of == machine.id and not c.runs and c.error]
            return True

        await self._until(look, STARTED_SECONDS)
        if remaining:
            await self._docker.call("start", *remaining)

    async def _pause(self, container: ComposeContainer) -> None:
        _must_run(container)
        if container.status != "paused":
            await self._docker.call("pause", container.id)

    async def _resume(self, container: ComposeContainer) -> None:
        _must_run(container)
        if container.status == "paused":
            await self._docker.call("unpause", container.id)


def _must_run(container: ComposeContainer) -> None:
    if not container.runs:
        raise BadRequest(f"{container.name} does not run")


def _of(containers: Sequence[ComposeContainer], container: ComposeContainer) -> ComposeContainer:
    """The container as it is now; as it was, when it is gone."""
    return next((c for c in containers if c.id == container.id), container)

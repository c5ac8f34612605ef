"""What the runtime has: sandboxes and containers by id, the locks of pods, watches on processes, and events."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from pathlib import Path

import grpc

from kubelab.apimachinery.clock import Clock
from kubelab.cri.runtime.v1 import api_pb2 as cri
from kubelab.runtime.errors import CRIError, code_of, not_found
from kubelab.runtime.launcher.client import Watch
from kubelab.runtime.pods import state
from kubelab.runtime.pods.events import Events
from kubelab.runtime.pods.state import Container, Sandbox

KILL_SECONDS = 10.0  # for SIGKILL to take effect


class Inventory:
    """Sandboxes and containers share it. ``locks`` are by sandbox id, ``watches`` by the id of either."""

    def __init__(self, root: Path, clock: Clock) -> None:
        self.root, self._clock = root, clock
        self.events = Events()
        self.sandboxes: dict[str, Sandbox] = {}
        self.containers: dict[str, Container] = {}
        self.watches: dict[str, Watch] = {}
        self.locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def load(self) -> None:
        """Read what an earlier runtime wrote."""
        for name in ("sandboxes", "containers", "crun"):
            (self.root / name).mkdir(parents=True, exist_ok=True)
        self.sandboxes, self.containers = await asyncio.to_thread(state.load, self.root)

    def now(self) -> int:
        """Wall time in nanoseconds, as the CRI counts."""
        return int(self._clock.time() * 1e9)

    def sandbox(self, name: str) -> Sandbox:
        """Find one by its id or a prefix of it. CRIError NOT_FOUND."""
        if name in self.sandboxes:
            return self.sandboxes[name]
        matches = [s for s in self.sandboxes.values() if name and s.id.startswith(name)]
        if len(matches) != 1:
            raise not_found("sandbox", name)
        return matches[0]

    def container(self, name: str) -> Container:
        """Find one by its id or a prefix of it. CRIError NOT_FOUND."""
        if name in self.containers:
            return self.containers[name]
        matches = [c for c in self.containers.values() if name and c.id.startswith(name)]
        if len(matches) != 1:
            raise not_found("container", name)
        return matches[0]

    def containers_of(self, sandbox: str) -> list[Container]:
        """Give the containers of a sandbox, by its whole id."""
        return [c for c in self.containers.values() if c.sandbox_id == sandbox]

    async def wait_for_end(self, watch: Watch, what: str) -> None:
        """Wait for the end of a process that was killed. CRIError DEADLINE_EXCEEDED."""
        try:
            async with self._clock.timeout(KILL_SECONDS):
                await watch.over.wait()
        except TimeoutError:
            raise CRIError(f"{what} does not end", grpc.StatusCode.DEADLINE_EXCEEDED) from None

    async def delete(self, folder: Path) -> None:
        """Delete a folder, however long that takes. CRIError when it is still there."""
        try:
            await asyncio.to_thread(state.delete, folder)
        except OSError as err:
            raise CRIError(f"failed to remove {folder}: {err}", code_of(err)) from err

    def forget_watch(self, name: str) -> None:
        """Stop watching the process of a sandbox or container."""
        if watch := self.watches.pop(name, None):
            watch.close()

    def publish(self, sandbox: Sandbox, name: str, kind: cri.ContainerEventType.ValueType) -> None:
        """Send an event of a container, or of the sandbox itself, to all listeners."""
        self.events.publish(
            cri.ContainerEventResponse(
                container_id=name,
                container_event_type=kind,
                created_at=self.now(),
                pod_sandbox_status=sandbox.status(),
                containers_statuses=[c.status() for c in self.containers_of(sandbox.id)],
            )
        )

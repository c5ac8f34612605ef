"""A kubelet's pod machinery between a fake api-server and a fake runtime that is a real gRPC server."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery.clock import SystemClock
from kubelab.apimachinery.scheme import EVENTS, PODS
from kubelab.component.environment import Environment
from kubelab.kubelet.config import KubeletConfig
from kubelab.kubelet.cri.records import CallRecords
from kubelab.kubelet.dependencies import Host, dependencies
from kubelab.kubelet.node.machine import Machine
from kubelab.kubelet.pods.manager import PodManager
from tests.support.apiserver import ApiServerInMemory
from tests.support.cri import FakeRuntime

NODE, NODE_IP = "node-1", "192.168.49.3"
MACHINE = Machine(
    cpus=2,
    memory_bytes=4 << 30,
    storage_bytes=100 << 30,
    machine_id="m",
    system_uuid="u",
    boot_id="b",
    kernel_version="6.18",
    os_image="Debian",
    architecture="amd64",
)


class SteppedClock(SystemClock):
    """The machine's clock, set forward by hand: what waits for gRPC goes on, what waits for hours need not."""

    def __init__(self) -> None:
        self._ahead = 0.0
        self._moved = asyncio.Event()

    def step(self, seconds: float) -> None:
        self._ahead += seconds
        self._moved.set()
        self._moved = asyncio.Event()

    def time(self) -> float:
        return super().time() + self._ahead

    def monotonic(self) -> float:
        return super().monotonic() + self._ahead

    def nanoseconds(self) -> int:
        return int(self.time() * 1e9)

    async def sleep(self, seconds: float) -> None:
        until = self.monotonic() + seconds
        while (left := until - self.monotonic()) > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._moved.wait()

    @contextlib.asynccontextmanager
    async def _timeout(self, seconds: float | None) -> AsyncGenerator[None]:
        if seconds is None:
            yield
            return
        async with asyncio.timeout(None) as scope:
            expire = asyncio.get_running_loop().create_task(self._expire(scope, seconds), name="timeout")
            try:
                yield
            finally:
                expire.cancel()

    async def _expire(self, scope: asyncio.Timeout, seconds: float) -> None:
        await self.sleep(seconds)
        scope.reschedule(asyncio.get_running_loop().time())

    def timeout(self, seconds: float | None) -> contextlib.AbstractAsyncContextManager[object]:
        return self._timeout(seconds)


@dataclass
class Lab:
    """What a test holds in its hands."""

    api: ApiServerInMemory
    cri: FakeRuntime
    clock: SteppedClock
    config: KubeletConfig
    manager: PodManager | None = None
    records: CallRecords = field(default_factory=CallRecords)

    @contextlib.asynccontextmanager
    async def kubelet(self) -> AsyncGenerator[PodManager]:
        """Run one; leaving kills it, and what runs stays."""
        env = Environment(self.config, "kubelet", clock=self.clock, make_client=self.api.client)
        async with dependencies(self.config, env, Host(MACHINE)) as deps:
            await deps.runtime.handshake()
            manager = PodManager(deps)
            self.manager, self.records = manager, deps.records
            async with asyncio.TaskGroup() as group:
                informers = deps.informers.pods.run(), deps.informers.services.run()
                loops = (*informers, deps.recorder.run(), deps.statuses.run(), manager.run())
                tasks = [group.create_task(loop) for loop in loops]
                try:
                    yield manager
                finally:
                    for task in tasks:
                        task.cancel()
                    await asyncio.gather(*tasks, return_exceptions=True)
                    manager.check_invariants()

    def pod(self, name: str = "web", namespace: str = "default") -> core_pb2.Pod:
        found = self.api.get(PODS, f"{namespace}/{name}")
        assert found is not None, f"pod {name} is gone"
        return found

    def status(self, name: str = "web") -> core_pb2.PodStatus:
        return self.pod(name).status

    def told(self, reason: str = "") -> list[str]:
        """The messages of the events, of one reason."""
        return [e.message for e in self.api.objects(EVENTS) if not reason or e.reason == reason]

    async def until(self, condition: Callable[[], object], seconds: float = 10.0) -> None:
        await self.api.until(condition, seconds=seconds)

    async def phase(self, phase: str, name: str = "web") -> core_pb2.PodStatus:
        await self.until(lambda: self.status(name).phase == phase)
        return self.status(name)

    async def waiting(self, reason: str, name: str = "web") -> core_pb2.ContainerStateWaiting:
        def there() -> bool:
            return any(s.state.waiting.reason == reason for s in self.status(name).containerStatuses)

        await self.until(there)
        return self.status(name).containerStatuses[0].state.waiting


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder whose sockets' paths fit in 108 bytes."""
    with tempfile.TemporaryDirectory(prefix="kl-kubelet-") as folder:
        yield Path(folder)


@pytest.fixture
async def lab(short_folder: Path) -> AsyncIterator[Lab]:
    clock = SteppedClock()
    cri = FakeRuntime(now=clock.nanoseconds, images={"app:v1": 1000})
    config = KubeletConfig(
        name=f"kubelet@{NODE}",
        node_name=NODE,
        node_ip=NODE_IP,
        runtime_socket=short_folder / "cri.sock",
        state_dir=short_folder / "state",
        log_dir=short_folder / "logs",
        relist_period=0.05,
    )
    async with cri.serving(config.runtime_socket):
        yield Lab(ApiServerInMemory(clock=clock), cri, clock, config)


MakePod = Callable[..., core_pb2.Pod]


@pytest.fixture
def make_pod() -> MakePod:
    return new_pod


def new_pod(name: str = "web", *, image: str = "app:v1", containers: tuple[str, ...] = ("app",)) -> core_pb2.Pod:
    """A pod that was bound to this node."""
    pod = core_pb2.Pod()
    pod.metadata.name, pod.metadata.namespace = name, "default"
    pod.spec.nodeName, pod.spec.restartPolicy = NODE, "Always"
    pod.spec.terminationGracePeriodSeconds = 30
    for container in containers:
        pod.spec.containers.add(name=container, image=image, imagePullPolicy="IfNotPresent")
    pod.status.phase = "Pending"
    return pod

"""Short words for the calls of the CRI, whichever runtime answers them."""

from __future__ import annotations

import abc
import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from kubelab.cri.runtime.v1 import api_pb2 as cri

SECONDS = 30.0  # for any one call
POD_CIDR = "10.244.9.0/24"


class CRICalls(abc.ABC):
    """A node's runtime by its CRI alone. ``image`` has a shell, and is there."""

    runtime: Any
    """The stub of the RuntimeService."""
    images: Any
    """The stub of the ImageService."""
    image = "app"

    def __init__(self, logs: Path) -> None:
        self.logs = logs
        self._configs: dict[str, cri.PodSandboxConfig] = {}

    @abc.abstractmethod
    async def restart(self) -> None:
        """Kill the runtime without any warning, and start it again; its containers go on."""

    async def set_cidr(self, cidr: str = POD_CIDR) -> None:
        network = cri.NetworkConfig(pod_cidr=cidr)
        await self.runtime.UpdateRuntimeConfig(
            cri.UpdateRuntimeConfigRequest(runtime_config=cri.RuntimeConfig(network_config=network)), timeout=SECONDS
        )

    # --- pods

    def sandbox_config(self, name: str, attempt: int = 0) -> cri.PodSandboxConfig:
        return cri.PodSandboxConfig(
            metadata=cri.PodSandboxMetadata(name=name, uid=f"uid-{name}", namespace="default", attempt=attempt),
            hostname=name,
            log_directory=str(self.logs / name),
            dns_config=cri.DNSConfig(servers=["10.96.0.10"], searches=["default.svc.cluster.local"]),
            labels={"pod": name},
        )

    def sandbox_request(self, name: str, *ports: cri.PortMapping) -> cri.RunPodSandboxRequest:
        config = self.sandbox_config(name)
        config.port_mappings.extend(ports)
        return cri.RunPodSandboxRequest(config=config)

    async def sandbox(self, name: str, *ports: cri.PortMapping) -> str:
        request = self.sandbox_request(name, *ports)
        made = (await self.runtime.RunPodSandbox(request, timeout=SECONDS)).pod_sandbox_id
        self._configs[made] = request.config
        return made

    async def sandbox_status(self, sandbox: str) -> cri.PodSandboxStatusResponse:
        request = cri.PodSandboxStatusRequest(pod_sandbox_id=sandbox)
        return await self.runtime.PodSandboxStatus(request, timeout=SECONDS)

    async def stop_sandbox(self, sandbox: str) -> None:
        await self.runtime.StopPodSandbox(cri.StopPodSandboxRequest(pod_sandbox_id=sandbox), timeout=SECONDS)

    async def remove_sandbox(self, sandbox: str) -> None:
        await self.runtime.RemovePodSandbox(cri.RemovePodSandboxRequest(pod_sandbox_id=sandbox), timeout=SECONDS)

    async def create(self, sandbox: str, name: str, command: Sequence[str], image: str = "", **more: Any) -> str:
        config = cri.ContainerConfig(
            metadata=cri.ContainerMetadata(name=name),
            image=cri.ImageSpec(image=image or self.image),
            command=command,
            log_path=f"{name}/0.log",
            **more,
        )
        # containerd reads the log's folder from the pod's settings, which a kubelet sends with every container.
        settings = self._configs.get(sandbox, cri.PodSandboxConfig())
        request = cri.CreateContainerRequest(pod_sandbox_id=sandbox, config=config, sandbox_config=settings)
        return (await self.runtime.CreateContainer(request, timeout=SECONDS)).container_id

    async def start_container(self, container: str) -> None:
        await self.runtime.StartContainer(cri.StartContainerRequest(container_id=container), timeout=SECONDS)

    async def run(self, sandbox: str, name: str, command: Sequence[str], image: str = "", **more: Any) -> str:
        container = await self.create(sandbox, name, command, image, **more)
        await self.start_container(container)
        return container

    async def stop_container(self, container: str, seconds: int = 0) -> None:
        request = cri.StopContainerRequest(container_id=container, timeout=seconds)
        await self.runtime.StopContainer(request, timeout=SECONDS)

    async def remove_container(self, container: str) -> None:
        await self.runtime.RemoveContainer(cri.RemoveContainerRequest(container_id=container), timeout=SECONDS)

    async def status(self, container: str) -> cri.ContainerStatus:
        request = cri.ContainerStatusRequest(container_id=container)
        return (await self.runtime.ContainerStatus(request, timeout=SECONDS)).status

    async def ended(self, container: str) -> cri.ContainerStatus:
        """Wait until a container has ended."""
        async with self.events() as events:
            status = await self.status(container)
            while status.state == cri.CONTAINER_RUNNING:
                async with asyncio.timeout(SECONDS):
                    await anext(events)
                status = await self.status(container)
        return status

    async def output(self, sandbox: str, name: str, script: str, image: str = "", **more: Any) -> str:
        """Run a script to its end in a container of its own and give what it printed."""
        ended = await self.ended(await self.run(sandbox, name, ["/bin/sh", "-c", script], image, **more))
        text = "".join(f"{line.split(' ', 3)[3]}\n" for line in self.lines(ended.log_path))
        assert ended.exit_code == 0, text
        return text

    @staticmethod
    def lines(log: Path | str) -> list[str]:
        return Path(log).read_text().splitlines()

    async def execute(self, container: str, *command: str, seconds: int = 10) -> cri.ExecSyncResponse:
        request = cri.ExecSyncRequest(container_id=container, cmd=command, timeout=seconds)
        return await self.runtime.ExecSync(request, timeout=SECONDS)

    @contextlib.asynccontextmanager
    async def events(self) -> AsyncGenerator[AsyncIterator[cri.ContainerEventResponse]]:
        call = self.runtime.GetContainerEvents(cri.GetEventsRequest())
        await call.initial_metadata()
        try:
            yield aiter(call)
        finally:
            call.cancel()

    async def image_id(self, name: str) -> str:
        request = cri.ImageStatusRequest(image=cri.ImageSpec(image=name))
        return (await self.images.ImageStatus(request, timeout=SECONDS)).image.id

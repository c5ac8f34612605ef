"""Sandboxes: the namespaces, the network and the files that the containers of a pod share."""

from __future__ import annotations

import contextlib
import secrets
import signal

import grpc
from structlog.typing import FilteringBoundLogger

from kubelab.cri.runtime.v1 import api_pb2 as cri
from kubelab.runtime.cgroups import pods
from kubelab.runtime.cgroups.limits import LimitError
from kubelab.runtime.errors import CRIError, code_of
from kubelab.runtime.host.base import Host
from kubelab.runtime.launcher.client import Launcher, Watch
from kubelab.runtime.launcher.signals import send
from kubelab.runtime.network.pods import NoAddress
from kubelab.runtime.pods import state
from kubelab.runtime.pods.containers import Containers
from kubelab.runtime.pods.inventory import Inventory
from kubelab.runtime.pods.podnetwork import PodNetwork
from kubelab.runtime.pods.state import Sandbox
from kubelab.runtime.rootfs import userns


class Sandboxes:
    """Makes, stops and removes sandboxes."""

    def __init__(
        self,
        inventory: Inventory,
        network: PodNetwork,
        containers: Containers,
        host: Host,
        launcher: Launcher,
        log: FilteringBoundLogger,
    ) -> None:
        self._inventory, self._network, self._containers = inventory, network, containers
        self._host, self._launcher, self._log = host, launcher, log

    def status(self, name: str) -> tuple[cri.PodSandboxStatus, list[cri.ContainerStatus], int]:
        """Give a sandbox, its containers, and the time of both, in nanoseconds. CRIError NOT_FOUND."""
        sandbox = self._inventory.sandbox(name)
        return sandbox.status(), [c.status() for c in self._inventory.containers_of(sandbox.id)], self._inventory.now()

    async def run(self, config: cri.PodSandboxConfig) -> str:
        """Make a pod's namespaces and its network, and give the id. CRIError leaves nothing behind."""
        pod = config.metadata
        async with self._inventory.locks[f"{pod.namespace}/{pod.name}/{pod.uid}"]:  # two calls at once make one sandbox
            for sandbox in self._inventory.sandboxes.values():
                if sandbox.config.metadata == pod and sandbox.ready:
                    return sandbox.id
            return await self._make(config)

    async def _make(self, config: cri.PodSandboxConfig) -> str:
        name = secrets.token_hex(32)
        folder = self._inventory.root / "sandboxes" / name
        sandbox = Sandbox(name, folder, config, self._inventory.now())
        if message := sandbox.unusable():
            raise CRIError(message, grpc.StatusCode.INVALID_ARGUMENT)
        try:
            users = userns.base_of(config)
            if users and self._host.no_userns:
                raise CRIError(f"user namespaces: {self._host.no_userns}", grpc.StatusCode.FAILED_PRECONDITION)
            group = pods.of_sandbox(self._host.cgroups, config, (s.config for s in self._inventory.sandboxes.values()))
        except (LimitError, ValueError) as err:
            raise CRIError(str(err), grpc.StatusCode.INVALID_ARGUMENT) from err
        folder.mkdir()
        try:
            pause = await self._launcher.ask(
                {
                    "do": "pause",
                    "dir": str(folder),
                    "hostname": config.hostname,
                    "host_network": sandbox.host_network,
                    "sysctls": dict(config.linux.sysctls),
                    "group": group,
                    "users": users,
                }
            )
            sandbox.pid, sandbox.pid_start = pause["pid"], pause["pid_start"]
            if not sandbox.host_network:
                await self._network.connect(sandbox)
            self._write_files(sandbox)
            sandbox.save()
        except (CRIError, NoAddress, OSError) as err:
            if sandbox.pid:
                send(sandbox.pid, signal.SIGKILL)
            await self._network.undo(sandbox)
            with contextlib.suppress(OSError):
                state.delete(folder)
            code = grpc.StatusCode.RESOURCE_EXHAUSTED if isinstance(err, NoAddress) else code_of(err)
            raise CRIError(f"failed to setup network for sandbox {name!r}: {err}", code) from err
        self._inventory.sandboxes[name] = sandbox
        self.watch(sandbox)
        self._inventory.publish(sandbox, name, cri.CONTAINER_CREATED_EVENT)
        self._inventory.publish(sandbox, name, cri.CONTAINER_STARTED_EVENT)
        return name

    def _write_files(self, sandbox: Sandbox) -> None:
        """Write the files of /etc that differ from pod to pod."""
        dns = sandbox.config.dns_config
        hostname = sandbox.config.hostname
        lines = ["127.0.0.1\tlocalhost", "::1\tlocalhost ip6-localhost ip6-loopback"]
        if sandbox.address and hostname:
            lines.append(f"{sandbox.address}\t{hostname}")
        (sandbox.folder / "hosts").write_text("\n".join(["# Kubernetes-managed hosts file.", *lines, ""]))
        (sandbox.folder / "hostname").write_text(f"{hostname}\n")
        resolv = [f"nameserver {server}" for server in dns.servers]
        resolv += [f"search {' '.join(dns.searches)}"] if dns.searches else []
        resolv += [f"options {' '.join(dns.options)}"] if dns.options else []
        (sandbox.folder / "resolv.conf").write_text("".join(f"{line}\n" for line in resolv))

    async def stop(self, name: str) -> None:
        """End a pod's containers and give back its network. An unknown sandbox is no error."""
        try:
            sandbox = self._inventory.sandbox(name)
        except CRIError:
            return
        async with self._inventory.locks[sandbox.id]:
            if sandbox.stopped:
                return
            for container in self._inventory.containers_of(sandbox.id):
                await self._containers.end(container, 0)
            if not sandbox.host_network:
                await self._network.disconnect(sandbox)
            sandbox.stopped = True
            with contextlib.suppress(OSError):  # a full disk: removing pods is what mends it
                sandbox.save()
            self._network.give_back(sandbox.address)  # nothing leads to the pod any more, however long its end takes
            if sandbox.alive:
                send(sandbox.pid, signal.SIGKILL)
                if watch := self._inventory.watches.get(sandbox.id):
                    await self._inventory.wait_for_end(watch, f"sandbox {sandbox.id!r}")

    async def remove(self, name: str) -> None:
        """Stop a pod and forget it and its containers. An unknown sandbox is no error."""
        try:
            sandbox = self._inventory.sandbox(name)
        except CRIError:
            return
        await self.stop(sandbox.id)
        for container in self._inventory.containers_of(sandbox.id):
            await self._containers.remove(container.id)
        pod = sandbox.config.metadata
        of_pod = f"{pod.namespace}/{pod.name}/{pod.uid}"
        async with self._inventory.locks[of_pod], self._inventory.locks[sandbox.id]:
            if sandbox.id not in self._inventory.sandboxes:
                return
            self._inventory.forget_watch(sandbox.id)
            if self._host.cgroups.trees and not self._has_other(sandbox):
                await self._launcher.ask({"do": "ungroup", "group": pods.of_pod(self._host.cgroups, sandbox.config)})
            await self._inventory.delete(sandbox.folder)
            del self._inventory.sandboxes[sandbox.id]  # last: a second call waits for the files
            self._inventory.publish(sandbox, sandbox.id, cri.CONTAINER_DELETED_EVENT)
        for key in (sandbox.id, of_pod):
            if key in self._inventory.locks and not self._inventory.locks[key].locked():
                del self._inventory.locks[key]

    def _has_other(self, sandbox: Sandbox) -> bool:
        """Say whether another attempt of the pod is here: it is in the same control group, with all that runs in it."""
        group = pods.place(sandbox.config)
        others = (other for other in self._inventory.sandboxes.values() if other is not sandbox)
        return any(pods.place(other.config) == group for other in others)

    def watch(self, sandbox: Sandbox) -> None:
        """Send an event when the sandbox's own process ends."""

        def ended() -> None:
            self._log.info("sandbox ended", sandbox=sandbox.id[:12], pod=sandbox.config.metadata.name)
            self._inventory.publish(sandbox, sandbox.id, cri.CONTAINER_STOPPED_EVENT)

        self._inventory.watches[sandbox.id] = Watch(sandbox.pid, ended)

"""The network of the node's pods: addresses, devices and host ports. netlink and nft have a thread of their own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
from structlog.typing import FilteringBoundLogger

from kubelab.files import statefile
from kubelab.runtime.errors import CRIError, code_of
from kubelab.runtime.network import hostports, sources, sysctls
from kubelab.runtime.network import pods as network
from kubelab.runtime.network.hostports import HostPort
from kubelab.runtime.pods import state
from kubelab.runtime.pods.state import Sandbox


def _pod_cidr(text: str) -> str:
    """Read network.json."""
    cidr: str = statefile.json_with(pod_cidr=str)(text)["pod_cidr"]
    network.check_range(cidr)
    return cidr


class PodNetwork:
    """Connects sandboxes that have a network of their own."""

    def __init__(self, root: Path, log: FilteringBoundLogger) -> None:
        self._root, self._log = root, log
        self._netlink = ThreadPoolExecutor(1, "netlink")
        self._addresses = network.Addresses()
        self._host_ports: dict[str, Sequence[HostPort]] = {}  # device of the pod → its ports

    async def start(self, sandboxes: Iterable[Sandbox]) -> None:
        """Take over the addresses and ports of the sandboxes that exist, and remove the devices of all others."""
        sandboxes = [*sandboxes]
        connected = [s for s in sandboxes if s.address and not s.stopped]
        newest = max(sandboxes, key=lambda s: s.created_at if s.address else 0, default=None)
        self._addresses = network.Addresses((s.address for s in connected), newest.address if newest else "")
        cidr = statefile.read_or_forget(self._root / "network.json", _pod_cidr, self._log.warning)
        if cidr:
            self._addresses.set_range(cidr)
            await self._on_netlink(network.claim, self.pod_cidr)
        await asyncio.to_thread(sysctls.write)
        await asyncio.to_thread(sources.write)
        await self._on_netlink(network.prune, [s.id for s in sandboxes if not s.stopped])
        for sandbox in connected:
            with contextlib.suppress(hostports.NoPort):  # then it never had one
                if ports := hostports.of_pod(sandbox.config, sandbox.address):
                    self._host_ports[network.device_name(sandbox.id)] = ports
        if self._host_ports or self._ports_written.exists():  # a runtime may have been killed between two of them
            await self._on_netlink(hostports.write, dict(self._host_ports))

    def close(self) -> None:
        """Let go of the thread; pods stay connected."""
        self._netlink.shutdown(wait=False)

    async def connect(self, sandbox: Sandbox) -> None:
        """Give a sandbox an address, a device and its host ports. CRIError, NoAddress; :meth:`undo` takes back what was
        done by then."""
        sandbox.address = self._addresses.take()
        await self._on_netlink(network.connect, sandbox.id, sandbox.pid, sandbox.address)
        await self._publish_ports(sandbox)

    async def undo(self, sandbox: Sandbox) -> None:
        """Take ports and address of a sandbox back that was not made; its device goes with its namespace."""
        with contextlib.suppress(CRIError):
            await self._unpublish_ports(sandbox)
        self._addresses.give_back(sandbox.address)

    async def disconnect(self, sandbox: Sandbox) -> None:
        """Take a sandbox's ports and device away; its address stays its own until :meth:`give_back`. CRIError."""
        await self._unpublish_ports(sandbox)
        await self._on_netlink(network.disconnect, sandbox.id)

    def give_back(self, address: str) -> None:
        """Let another pod have an address."""
        self._addresses.give_back(address)

    @property
    def pod_cidr(self) -> str:
        """The range that pods get addresses from; "" until the kubelet names it."""
        return self._addresses.cidr

    async def set_pod_cidr(self, cidr: str) -> None:
        """Take addresses from this range from now on; those in use stay. CRIError for what is no range."""
        before = self.pod_cidr
        if not cidr or cidr == before:
            return
        try:
            network.check_range(cidr)
        except ValueError as err:
            raise CRIError(f"pod CIDR {cidr!r}: {err}", grpc.StatusCode.INVALID_ARGUMENT) from err
        await self._on_netlink(network.claim, cidr)
        if before:
            await self._on_netlink(network.disclaim, before)
        state.write_json(self._root / "network.json", {"pod_cidr": cidr})
        self._addresses.set_range(cidr)
        self._log.info("pod CIDR", cidr=cidr)

    @property
    def _ports_written(self) -> Path:
        """A file that exists since this node published a port of a pod."""
        return self._root / "hostports"

    async def _publish_ports(self, sandbox: Sandbox) -> None:
        """Publish the pod's host ports. CRIError when another pod has one, or nft refuses."""
        try:
            ports = hostports.of_pod(sandbox.config, sandbox.address)
            if not ports:
                return
            hostports.check(ports, [port for taken in self._host_ports.values() for port in taken])
        except hostports.NoPort as err:
            raise CRIError(str(err), grpc.StatusCode.INVALID_ARGUMENT) from err
        except hostports.InUse as err:
            raise CRIError(str(err)) from err
        self._ports_written.touch()
        self._host_ports[network.device_name(sandbox.id)] = ports
        await self._on_netlink(hostports.write, dict(self._host_ports))

    async def _unpublish_ports(self, sandbox: Sandbox) -> None:
        if self._host_ports.pop(network.device_name(sandbox.id), None):
            await self._on_netlink(hostports.write, dict(self._host_ports))

    async def _on_netlink(self, call: object, *arguments: object) -> None:
        """Make blocking calls one after the other, in their order. CRIError, in the kernel's words."""
        try:
            await asyncio.get_running_loop().run_in_executor(self._netlink, call, *arguments)  # pyright: ignore[reportArgumentType, reportCallIssue]
        except OSError as err:
            raise CRIError(str(err), code_of(err)) from err

"""Sandboxes and containers: making, starting, stopping, removing them, and taking them over after a restart.

Calls about one pod are serial (a lock per sandbox), those about different pods run side by side. Making what is made
and removing what is gone succeed. A change that has begun is brought to its end, also when its caller has gone: what a
killed kubelet had begun is whole when the next one lists. Nothing blocks the event loop: netlink has a thread of its
own, files go to threads.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import secrets
import signal
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
from structlog.typing import FilteringBoundLogger

from kubelab.apimachinery import references
from kubelab.apimachinery.clock import Clock
from kubelab.cri.runtime.v1 import api_pb2 as cri
from kubelab.files import statefile
from kubelab.runtime.cgroups import limits, pods
from kubelab.runtime.cgroups.limits import LimitError
from kubelab.runtime.cgroups.machine import Offer
from kubelab.runtime.config import RuntimeConfig
from kubelab.runtime.errors import CRIError, code_of, not_found
from kubelab.runtime.host.base import Host
from kubelab.runtime.images.store import Image, Store
from kubelab.runtime.launcher.client import Launcher, Watch
from kubelab.runtime.launcher.signals import send, signal_number
from kubelab.runtime.network import hostports, sources, sysctls
from kubelab.runtime.network import pods as network
from kubelab.runtime.network.hostports import HostPort
from kubelab.runtime.network.portguard import REASON, Offence
from kubelab.runtime.pods import execsync as execution
from kubelab.runtime.pods import spec, state
from kubelab.runtime.pods.events import Events
from kubelab.runtime.pods.state import Container, Sandbox
from kubelab.runtime.pods.uninterruptible import Uninterruptible
from kubelab.runtime.rootfs import mount as rootfs
from kubelab.runtime.rootfs import userns
from kubelab.runtime.seccomp.compiled import Filters

KILL_SECONDS = 10.0  # for SIGKILL to take effect
CLOSE_SECONDS = 2.0  # for changes under way when the runtime is told to stop; later ones are mended by the next start


def _pod_cidr(text: str) -> str:
    """Read network.json."""
    cidr: str = statefile.json_with(pod_cidr=str)(text)["pod_cidr"]
    network.check_range(cidr)
    return cidr


class Engine:
    """What the CRI's RuntimeService does, without gRPC."""

    def __init__(
        self,
        config: RuntimeConfig,
        store: Store,
        host: Host,
        launcher: Launcher,
        clock: Clock,
        log: FilteringBoundLogger,
    ) -> None:
        self._config, self._store, self._host, self._launcher = config, store, host, launcher
        self._clock, self._log = clock, log
        self.events = Events()
        self.sandboxes: dict[str, Sandbox] = {}
        self.containers: dict[str, Container] = {}
        self._watches: dict[str, Watch] = {}
        self._calls = Uninterruptible(log)
        self.uninterruptible = self._calls.run
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._netlink = ThreadPoolExecutor(1, "netlink")
        self._addresses = network.Addresses()
        self._host_ports: dict[str, Sequence[HostPort]] = {}  # device of the pod → its ports
        self._root = config.state_dir
        self._crun_root = config.state_dir / "crun"
        self._filters = Filters(self._crun_root)
        self._node = hashlib.sha256(str(config.state_dir).encode()).hexdigest()[:16]  # among the store's users

    def _now(self) -> int:
        return int(self._clock.time() * 1e9)

    # --- life

    async def start(self) -> None:
        """Take over what is there: running pods go on, what ended meanwhile is told, leftovers of a reboot too."""
        for name in ("sandboxes", "containers", "crun"):
            (self._root / name).mkdir(parents=True, exist_ok=True)
        self.sandboxes, self.containers = await asyncio.to_thread(state.load, self._root)
        connected = [s for s in self.sandboxes.values() if s.address and not s.stopped]
        newest = max(self.sandboxes.values(), key=lambda s: s.created_at if s.address else 0, default=None)
        self._addresses = network.Addresses((s.address for s in connected), newest.address if newest else "")
        await asyncio.to_thread(self._store.keep_pins, self._node, self.containers)
        known = statefile.read_or_forget(self._root / "network.json", _pod_cidr, self._log.warning)
        if known:
            self._addresses.set_range(known)
            await self._on_netlink(network.claim, self.pod_cidr)
        await asyncio.to_thread(sysctls.write)
        await asyncio.to_thread(sources.write)
        await self._on_netlink(network.prune, [s.id for s in self.sandboxes.values() if not s.stopped])
        for sandbox in connected:
            with contextlib.suppress(hostports.NoPort):  # then it never had one
                if ports := hostports.of_pod(sandbox.config, sandbox.address):
                    self._host_ports[network.device_name(sandbox.id)] = ports
        if self._host_ports or self._ports_written.exists():  # somebody may have been killed between two of them
            await self._on_netlink(hostports.write, dict(self._host_ports))
        for container in self.containers.values():
            if container.started is not None and container.exit is None:
                self._watch_container(container)
        for sandbox in self.sandboxes.values():
            if sandbox.ready:
                self._watch_sandbox(sandbox)
        self._log.info("took over", sandboxes=len(self.sandboxes), containers=len(self.containers))

    async def close(self) -> None:
        """Let changes come to their end, then let go of everything; what runs goes on."""
        await self._calls.finish(CLOSE_SECONDS)
        for watch in self._watches.values():
            watch.close()
        self._netlink.shutdown(wait=False)

    async def _on_netlink(self, call: object, *arguments: object) -> None:
        """One after the other, in the order of the calls. CRIError, in the kernel's words."""
        try:
            await asyncio.get_running_loop().run_in_executor(self._netlink, call, *arguments)  # pyright: ignore[reportArgumentType, reportCallIssue]
        except OSError as err:
            raise CRIError(str(err), code_of(err)) from err

    # --- network

    @property
    def no_userns(self) -> str:
        """Why pods cannot have users of their own; "" where they can."""
        return self._host.no_userns

    @property
    def cgroups(self) -> Offer:
        """What of limits the machine can enforce."""
        return self._host.cgroups

    @property
    def pod_cidr(self) -> str:
        """ "" until somebody has told."""
        return self._addresses.cidr

    async def set_pod_cidr(self, cidr: str) -> None:
        """From now on addresses are taken from this range; those in use stay. CRIError when it is none."""
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
        """There since this node has had a port of a pod."""
        return self._root / "hostports"

    async def _lead_ports(self, sandbox: Sandbox) -> None:
        """Let the node's ports that a pod asks for lead to it. CRIError when one is another's, or nft refuses."""
        try:
            ports = hostports.of_pod(sandbox.config, sandbox.address)
            if not ports:
                return
            hostports.check(ports, [one for of_one in self._host_ports.values() for one in of_one])
        except hostports.NoPort as err:
            raise CRIError(str(err), grpc.StatusCode.INVALID_ARGUMENT) from err
        except hostports.InUse as err:
            raise CRIError(str(err)) from err
        self._ports_written.touch()
        self._host_ports[network.device_name(sandbox.id)] = ports
        await self._on_netlink(hostports.write, dict(self._host_ports))

    async def _take_ports_back(self, sandbox: Sandbox) -> None:
        if self._host_ports.pop(network.device_name(sandbox.id), None):
            await self._on_netlink(hostports.write, dict(self._host_ports))

    # --- sandboxes

    def sandbox(self, name: str) -> Sandbox:
        """By id or by the beginning of one; CRIError NOT_FOUND."""
        if name in self.sandboxes:
            return self.sandboxes[name]
        found = [s for s in self.sandboxes.values() if name and s.id.startswith(name)]
        if len(found) != 1:
            raise not_found("sandbox", name)
        return found[0]

    def sandbox_status(self, name: str) -> tuple[cri.PodSandboxStatus, list[cri.ContainerStatus], int]:
        """A sandbox, its containers, and when it was so, in nanoseconds; CRIError NOT_FOUND."""
        sandbox = self.sandbox(name)
        return sandbox.status(), [c.status() for c in self._containers_of(sandbox.id)], self._now()

    async def run_sandbox(self, config: cri.PodSandboxConfig) -> str:
        """Make a pod's namespaces and its network; gives the id. CRIError leaves nothing behind."""
        pod = config.metadata
        async with self._locks[f"{pod.namespace}/{pod.name}/{pod.uid}"]:  # twice at once is once, too
            for sandbox in self.sandboxes.values():
                if sandbox.config.metadata == pod and sandbox.ready:
                    return sandbox.id
            return await self._make_sandbox(config)

    async def _make_sandbox(self, config: cri.PodSandboxConfig) -> str:
        name = secrets.token_hex(32)
        folder = self._root / "sandboxes" / name
        sandbox = Sandbox(name, folder, config, self._now())
        if told := sandbox.unusable():
            raise CRIError(told, grpc.StatusCode.INVALID_ARGUMENT)
        try:
            users = userns.base_of(config)
            if users and self._host.no_userns:
                raise CRIError(f"user namespaces: {self._host.no_userns}", grpc.StatusCode.FAILED_PRECONDITION)
            group = pods.of_sandbox(self._host.cgroups, config, (s.config for s in self.sandboxes.values()))
        except (LimitError, ValueError) as err:
            raise CRIError(str(err), grpc.StatusCode.INVALID_ARGUMENT) from err
        folder.mkdir()
        try:
            launched = await self._launcher.ask(
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
            sandbox.pid, sandbox.pid_start = launched["pid"], launched["pid_start"]
            if not sandbox.host_network:
                sandbox.address = self._addresses.take()
                await self._on_netlink(network.connect, name, sandbox.pid, sandbox.address)
                await self._lead_ports(sandbox)
            self._write_files(sandbox)
            sandbox.save()
        except (CRIError, network.NoAddress, OSError) as err:
            if sandbox.pid:
                send(sandbox.pid, signal.SIGKILL)
            with contextlib.suppress(CRIError):
                await self._take_ports_back(sandbox)
            self._addresses.give_back(sandbox.address)
            with contextlib.suppress(OSError):
                state.delete(folder)
            code = grpc.StatusCode.RESOURCE_EXHAUSTED if isinstance(err, network.NoAddress) else code_of(err)
            raise CRIError(f"failed to setup network for sandbox {name!r}: {err}", code) from err
        self.sandboxes[name] = sandbox
        self._watch_sandbox(sandbox)
        self._tell(sandbox, name, cri.CONTAINER_CREATED_EVENT)
        self._tell(sandbox, name, cri.CONTAINER_STARTED_EVENT)
        return name

    def _write_files(self, sandbox: Sandbox) -> None:
        """The files of /etc that differ from pod to pod."""
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

    async def stop_sandbox(self, name: str) -> None:
        """End a pod's containers and give back its network. Nothing there is no error."""
        try:
            sandbox = self.sandbox(name)
        except CRIError:
            return
        async with self._locks[sandbox.id]:
            if sandbox.stopped:
                return
            for container in self._containers_of(sandbox.id):
                await self._stop(container, 0)
            if not sandbox.host_network:
                await self._take_ports_back(sandbox)
                await self._on_netlink(network.disconnect, sandbox.id)
            sandbox.stopped = True
            with contextlib.suppress(OSError):  # a full disk: removing pods is what mends it
                sandbox.save()
            self._addresses.give_back(sandbox.address)  # nothing leads to the pod any more, however long its end takes
            if sandbox.alive:
                send(sandbox.pid, signal.SIGKILL)
                if watch := self._watches.get(sandbox.id):
                    await self._wait_for_end(watch, f"sandbox {sandbox.id!r}")

    async def remove_sandbox(self, name: str) -> None:
        """Stop a pod and forget it and its containers. Nothing there is no error."""
        try:
            sandbox = self.sandbox(name)
        except CRIError:
            return
        await self.stop_sandbox(sandbox.id)
        for container in self._containers_of(sandbox.id):
            await self.remove_container(container.id)
        async with self._locks[sandbox.id]:
            if sandbox.id not in self.sandboxes:
                return
            self._forget_watch(sandbox.id)
            if self._host.cgroups.trees:
                await self._launcher.ask({"do": "ungroup", "group": pods.of_pod(self._host.cgroups, sandbox.config)})
            await self._delete(sandbox.folder)
            del self.sandboxes[sandbox.id]  # not before: who asks again while files are deleted waits for that
            self._tell(sandbox, sandbox.id, cri.CONTAINER_DELETED_EVENT)
        pod = sandbox.config.metadata
        for key in (sandbox.id, f"{pod.namespace}/{pod.name}/{pod.uid}"):
            if key in self._locks and not self._locks[key].locked():
                del self._locks[key]

    def _watch_sandbox(self, sandbox: Sandbox) -> None:
        def ended() -> None:
            self._log.info("sandbox ended", sandbox=sandbox.id[:12], pod=sandbox.config.metadata.name)
            self._tell(sandbox, sandbox.id, cri.CONTAINER_STOPPED_EVENT)

        self._watches[sandbox.id] = Watch(sandbox.pid, ended)

    # --- containers

    def container(self, name: str) -> Container:
        """By id or by the beginning of one; CRIError NOT_FOUND."""
        if name in self.containers:
            return self.containers[name]
        found = [c for c in self.containers.values() if name and c.id.startswith(name)]
        if len(found) != 1:
            raise not_found("container", name)
        return found[0]

    def _containers_of(self, sandbox: str) -> list[Container]:
        return [c for c in self.containers.values() if c.sandbox_id == sandbox]

    async def _pin_image(self, name: str, container: str) -> Image:
        """Find a container's image and keep it for the container; CRIError NOT_FOUND, INVALID_ARGUMENT."""
        try:
            image = await asyncio.to_thread(self._store.pin, self._node, container, name)
        except references.BadReference as err:
            raise CRIError(str(err), grpc.StatusCode.INVALID_ARGUMENT) from err
        if image is None:
            raise not_found("image", name)
        return image

    async def create_container(self, sandbox_name: str, config: cri.ContainerConfig) -> str:
        """Make a container that is not started; gives the id. CRIError for an image that is not here."""
        sandbox = self.sandbox(sandbox_name)
        async with self._locks[sandbox.id]:
            for container in self._containers_of(sandbox.id):
                if container.config.metadata == config.metadata:
                    return container.id
            if not sandbox.ready:
                raise CRIError(f"sandbox container {sandbox.id!r} is not running", grpc.StatusCode.FAILED_PRECONDITION)
            try:
                spec.check(config, self._host.bounds)
                limits.of(config.linux.resources)
                output = log_path(sandbox.config, config)
            except ValueError as err:
                told = f"failed to create container {config.metadata.name!r}: {err}"
                raise CRIError(told, grpc.StatusCode.INVALID_ARGUMENT) from err
            name = secrets.token_hex(32)
            image = await self._pin_image(config.image.image, name)
            container = Container(
                id=name,
                folder=self._root / "containers" / name,
                sandbox_id=sandbox.id,
                config=config,
                image_ref=image.id,
                log_path=output,
                created_at=self._now(),
                stop_signal=str(image.process.get("StopSignal") or "SIGTERM"),
            )
            try:
                container.folder.mkdir()
                container.save()
            except OSError as err:  # a full disk
                self._store.unpin(self._node, name)
                with contextlib.suppress(OSError):
                    state.delete(container.folder)
                raise CRIError(f"failed to create container {name!r}: {err}", code_of(err)) from err
            self.containers[name] = container
            self._tell(sandbox, name, cri.CONTAINER_CREATED_EVENT)
            return name

    async def start_container(self, name: str) -> None:
        """Start a created container; a running one is left alone. CRIError, in the OCI runtime's words."""
        container = self.container(name)
        async with self._locks[container.sandbox_id]:
            if container.started is None:
                container.refresh()  # a runtime that was killed meanwhile may have had it started
                if container.started is not None:
                    self._watch_container(container)
            if container.state == cri.CONTAINER_RUNNING:
                return
            if container.state == cri.CONTAINER_EXITED:
                raise CRIError(f"container {container.id!r} is in CONTAINER_EXITED state")
            sandbox = self.sandbox(container.sandbox_id)
            try:
                request, bundle = self._monitor_request(container, sandbox)
                await self._launcher.ask(request)
            except (CRIError, OSError, ValueError) as err:  # SpecError, a loop of links; a full disk
                told = f"{err}{self._hint(container)}"
                why = f"failed to start container {container.id!r}: OCI runtime create failed: {told}"
                container.end(128, self._now(), "StartError", why)
                self._tell(sandbox, container.id, cri.CONTAINER_STOPPED_EVENT)
                raise CRIError(why, code_of(err)) from err
            container.refresh()
            self._watch_container(container)
            self._tell(sandbox, container.id, cri.CONTAINER_STARTED_EVENT)
            try:
                self._filters.learn(bundle, container.id)
            except OSError as err:  # each container's is compiled anew then
                self._log.warning("seccomp filter not kept", container=container.id[:12], error=str(err))

    def _hint(self, container: Container) -> str:
        """What may be behind a container that does not start."""
        image = self._store.pinned(self._node, container.id)
        if image is None or not image.of_another_host:
            return ""
        return " (the image says that it was built FROM host, and this machine has no record of that: build it here)"

    def _monitor_request(self, container: Container, sandbox: Sandbox) -> tuple[dict[str, object], dict[str, Any]]:
        """What the launcher is asked for, and the container's OCI configuration."""
        image = self._store.pinned(self._node, container.id)
        if image is None:
            raise not_found("image", container.image_ref)
        layers = [self._store.layer(diff_id) for diff_id in image.diff_ids]
        host = self._host if image.on_host else None
        root, users = container.folder / "rootfs", None
        if base := userns.base_of(sandbox.config):
            root, users = Path(userns.PLACES, "root"), userns.Users(base, f"/proc/{sandbox.pid}/ns/user").as_request()
        else:
            root.mkdir(exist_ok=True)
        files = {f"/etc/{name}": sandbox.folder / name for name in ("hosts", "hostname", "resolv.conf")}
        bundle = spec.build(
            container.config,
            image.process,
            root=root,
            pause=sandbox.pid,
            host_network=sandbox.host_network,
            own_users=users is not None,
            files=files,
            hostname=sandbox.config.hostname,
            host=host,
            bounds=self._host.bounds,
        )
        self._filters.use(bundle)
        (container.folder / "config.json").write_text(json.dumps(bundle))
        request: dict[str, object] = {
            "do": "monitor",
            "id": container.id,
            "dir": str(container.folder),
            "rootfs": rootfs.layout(root, layers, host, container.folder, users).as_request(),
            "log_path": container.log_path,
            "crun": self._host.crun,
            "crun_root": str(self._crun_root),
            "group": pods.of_container(self._host.cgroups, sandbox.config, container.id, container.config),
        }
        return request, bundle

    async def stop_container(self, name: str, seconds: float) -> None:
        """Ask a container to end, and end it after so many seconds. Nothing there is no error."""
        try:
            container = self.container(name)
        except CRIError:
            return
        async with self._locks[container.sandbox_id]:
            pass  # one that is being started would go on although it counts as ended
        await self._stop(container, seconds)

    def on_nodes_network(self) -> dict[str, int]:
        """The containers that run on the node's network: the first process of each."""
        return {
            container.id: container.pid
            for container in self.containers.values()
            if container.state == cri.CONTAINER_RUNNING and self.sandboxes[container.sandbox_id].host_network
        }

    async def end_for(self, offence: Offence) -> None:
        """Kill a container, and tell in its status what for."""
        container = self.containers.get(offence.container)
        if container is not None and container.alive:
            container.verdict = REASON, offence.message
            send(offence.process, signal.SIGKILL)
            send(container.pid, signal.SIGKILL)

    async def _stop(self, container: Container, seconds: float) -> None:
        if container.state == cri.CONTAINER_CREATED:
            container.end(0, self._now())
            container.refresh()  # a runtime that was killed may have begun to start it: the monitor looks at the end
            if pid := container.unwanted:
                send(pid, signal.SIGKILL)
            return
        watch = self._watches.get(container.id)
        if container.state != cri.CONTAINER_RUNNING or container.started is None or watch is None:
            return
        pid = container.pid
        if seconds > 0:
            send(pid, signal_number(container.stop_signal))
            try:
                async with self._clock.timeout(seconds):
                    await watch.over.wait()
                return
            except TimeoutError:
                self._log.info("did not end in time", container=container.id[:12], seconds=seconds)
        send(pid, signal.SIGKILL)
        await self._wait_for_end(watch, f"container {container.id!r}")

    async def _wait_for_end(self, watch: Watch, what: str) -> None:
        """Of what was killed; CRIError DEADLINE_EXCEEDED."""
        try:
            async with self._clock.timeout(KILL_SECONDS):
                await watch.over.wait()
        except TimeoutError:
            raise CRIError(f"{what} does not end", grpc.StatusCode.DEADLINE_EXCEEDED) from None

    async def remove_container(self, name: str) -> None:
        """End a container and forget it. Nothing there is no error."""
        try:
            container = self.container(name)
        except CRIError:
            return
        async with self._locks[container.sandbox_id]:
            await self._stop(container, 0)
            if container.id not in self.containers:
                return
            self._forget_watch(container.id)
            # crun keeps no more than this folder: the process is gone, and there are no cgroups
            for folder in (self._crun_root / container.id, container.folder):
                await self._delete(folder)
            self._store.unpin(self._node, container.id)
            del self.containers[container.id]  # not before: who asks again while files are deleted waits for that
            if sandbox := self.sandboxes.get(container.sandbox_id):
                self._tell(sandbox, container.id, cri.CONTAINER_DELETED_EVENT)

    async def _delete(self, folder: Path) -> None:
        """Delete a folder, however long that takes. CRIError when it is still there."""
        try:
            await asyncio.to_thread(state.delete, folder)
        except OSError as err:
            raise CRIError(f"failed to remove {folder}: {err}", code_of(err)) from err

    def reopen_log(self, name: str) -> None:
        """Have the monitor write to a new file; CRIError when the container does not run."""
        container = self.container(name)
        if container.state != cri.CONTAINER_RUNNING or container.started is None:
            raise CRIError("container is not running", grpc.StatusCode.FAILED_PRECONDITION)
        send(container.started["monitor"], signal.SIGHUP)

    async def exec_sync(self, name: str, command: list[str], seconds: float) -> execution.Result:
        """Run a command in a running container. CRIError DEADLINE_EXCEEDED, FAILED_PRECONDITION."""
        container = self.container(name)
        if container.state != cri.CONTAINER_RUNNING:
            raise CRIError(f"container {container.id!r} is not running", grpc.StatusCode.FAILED_PRECONDITION)
        request: dict[str, object] = {
            "id": container.id,
            "command": command,
            "crun": self._host.crun,
            "crun_root": str(self._crun_root),
        }
        request["group"] = pods.of_container(
            self._host.cgroups, self.sandbox(container.sandbox_id).config, container.id, container.config
        )
        return await execution.run(self._launcher, request, seconds=seconds)

    def _watch_container(self, container: Container) -> None:
        assert container.started is not None
        if not container.monitored:
            self._container_ended(container)
            return
        monitor: int = container.started["monitor"]
        self._watches[container.id] = Watch(monitor, lambda: self._container_ended(container))

    def _container_ended(self, container: Container) -> None:
        container.refresh()
        if container.exit is None:
            # somebody killed the monitor: nobody reads what the container prints, so it cannot go on
            if pid := container.orphan:
                send(pid, signal.SIGKILL)
            container.end(state.UNKNOWN_EXIT, self._now(), "ContainerStatusUnknown", "its monitor is gone")
        ended = container.exit or {}
        self._log.info("container ended", container=container.id[:12], code=ended.get("exit_code"))
        if sandbox := self.sandboxes.get(container.sandbox_id):
            self._tell(sandbox, container.id, cri.CONTAINER_STOPPED_EVENT)

    def _forget_watch(self, name: str) -> None:
        if watch := self._watches.pop(name, None):
            watch.close()

    # --- events

    def _tell(self, sandbox: Sandbox, name: str, kind: cri.ContainerEventType.ValueType) -> None:
        self.events.publish(
            cri.ContainerEventResponse(
                container_id=name,
                container_event_type=kind,
                created_at=self._now(),
                pod_sandbox_status=sandbox.status(),
                containers_statuses=[c.status() for c in self._containers_of(sandbox.id)],
            )
        )


def log_path(sandbox: cri.PodSandboxConfig, config: cri.ContainerConfig) -> str:
    """Where a container's output goes: a file below the pod's folder of logs, "" for nowhere. Raises ValueError."""
    if not (config.log_path and sandbox.log_directory):
        return ""
    if config.log_path.startswith("/") or ".." in Path(config.log_path).parts or "\0" in config.log_path:
        raise ValueError(f"log_path: {config.log_path!r}: expected a path below log_directory")
    return str(Path(sandbox.log_directory) / config.log_path)

"""Containers: made, started, stopped, removed, and commands that run in them."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import secrets
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import grpc
from structlog.typing import FilteringBoundLogger

from kubelab.apimachinery import references
from kubelab.apimachinery.clock import Clock
from kubelab.cri.runtime.v1 import api_pb2 as cri
from kubelab.runtime.cgroups import limits, pods
from kubelab.runtime.errors import CRIError, code_of, not_found
from kubelab.runtime.host.base import Host
from kubelab.runtime.images.store import Image, Store
from kubelab.runtime.launcher.client import Launcher, Watch
from kubelab.runtime.launcher.signals import send, signal_number
from kubelab.runtime.network.portguard import REASON, Offence
from kubelab.runtime.pods import execsync, spec, state
from kubelab.runtime.pods.inventory import Inventory
from kubelab.runtime.pods.state import Container, Sandbox
from kubelab.runtime.rootfs import mount as rootfs
from kubelab.runtime.rootfs import userns
from kubelab.runtime.seccomp.compiled import Filters


class Containers:
    """Makes, starts, stops and removes the containers of sandboxes."""

    def __init__(
        self,
        inventory: Inventory,
        store: Store,
        host: Host,
        launcher: Launcher,
        clock: Clock,
        log: FilteringBoundLogger,
    ) -> None:
        self._inventory, self._store, self._host, self._launcher = inventory, store, host, launcher
        self._clock, self._log = clock, log
        self._crun_root = inventory.root / "crun"
        self._filters = Filters(self._crun_root)
        self._node = hashlib.sha256(str(inventory.root).encode()).hexdigest()[:16]  # among the store's users

    async def keep_images(self) -> None:
        """Tell the store which containers of this node still use images."""
        await asyncio.to_thread(self._store.keep_pins, self._node, self._inventory.containers)

    async def create(self, sandbox_name: str, config: cri.ContainerConfig) -> str:
        """Make a container that is not started, and give the id. CRIError for an image that is not here."""
        sandbox = self._inventory.sandbox(sandbox_name)
        async with self._inventory.locks[sandbox.id]:
            for container in self._inventory.containers_of(sandbox.id):
                if container.config.metadata == config.metadata:
                    return container.id
            if not sandbox.ready:
                raise CRIError(f"sandbox container {sandbox.id!r} is not running", grpc.StatusCode.FAILED_PRECONDITION)
            try:
                spec.check(config, self._host.bounds)
                limits.of(config.linux.resources)
                output = log_path(sandbox.config, config)
            except ValueError as err:
                message = f"failed to create container {config.metadata.name!r}: {err}"
                raise CRIError(message, grpc.StatusCode.INVALID_ARGUMENT) from err
            name = secrets.token_hex(32)
            image = await self._pin_image(config.image.image, name)
            container = Container(
                id=name,
                folder=self._inventory.root / "containers" / name,
                sandbox_id=sandbox.id,
                config=config,
                image_ref=image.id,
                log_path=output,
                created_at=self._inventory.now(),
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
            self._inventory.containers[name] = container
            self._inventory.publish(sandbox, name, cri.CONTAINER_CREATED_EVENT)
            return name

    async def _pin_image(self, name: str, container: str) -> Image:
        """Find a container's image and keep it for the container; CRIError NOT_FOUND, INVALID_ARGUMENT."""
        try:
            image = await asyncio.to_thread(self._store.pin, self._node, container, name)
        except references.BadReference as err:
            raise CRIError(str(err), grpc.StatusCode.INVALID_ARGUMENT) from err
        if image is None:
            raise not_found("image", name)
        return image

    async def start(self, name: str) -> None:
        """Start a created container; a running one is left alone. CRIError, in the OCI runtime's words."""
        container = self._inventory.container(name)
        async with self._inventory.locks[container.sandbox_id]:
            if container.started is None:
                container.refresh()  # a runtime that was killed meanwhile may have had it started
                if container.started is not None:
                    self.watch(container)
            if container.state == cri.CONTAINER_RUNNING:
                return
            if container.state == cri.CONTAINER_EXITED:
                raise CRIError(f"container {container.id!r} is in CONTAINER_EXITED state")
            sandbox = self._inventory.sandbox(container.sandbox_id)
            try:
                request, bundle = self._monitor_request(container, sandbox)
                await self._launcher.ask(request)
            except (CRIError, OSError, ValueError) as err:  # SpecError, a loop of links; a full disk
                reason = f"{err}{self._hint(container)}"
                why = f"failed to start container {container.id!r}: OCI runtime create failed: {reason}"
                container.end(128, self._inventory.now(), "StartError", why)
                self._inventory.publish(sandbox, container.id, cri.CONTAINER_STOPPED_EVENT)
                raise CRIError(why, code_of(err)) from err
            container.refresh()
            self.watch(container)
            self._inventory.publish(sandbox, container.id, cri.CONTAINER_STARTED_EVENT)
            try:
                self._filters.learn(bundle, container.id)
            except OSError as err:  # each container's is compiled anew then
                self._log.warning("seccomp filter not kept", container=container.id[:12], error=str(err))

    def _hint(self, container: Container) -> str:
        """Guess why a container does not start."""
        image = self._store.pinned(self._node, container.id)
        if image is None or not image.of_another_host:
            return ""
        return " (the image says that it was built FROM host, and this machine has no record of that: build it here)"

    def _monitor_request(self, container: Container, sandbox: Sandbox) -> tuple[dict[str, object], dict[str, Any]]:
        """Give the request to the launcher, and the container's OCI configuration."""
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
            "terminal": container.config.tty,
            "stdin": container.config.stdin,
            "stdin_once": container.config.stdin_once,
            "crun": self._host.crun,
            "crun_root": str(self._crun_root),
            "group": pods.of_container(self._host.cgroups, sandbox.config, container.id, container.config),
        }
        return request, bundle

    async def stop(self, name: str, seconds: float) -> None:
        """Ask a container to end, and kill it after so many seconds. An unknown container is no error."""
        try:
            container = self._inventory.container(name)
        except CRIError:
            return
        async with self._inventory.locks[container.sandbox_id]:
            pass  # one that is being started would go on although it counts as ended
        await self.end(container, seconds)

    async def end(self, container: Container, seconds: float) -> None:
        """End a container as :meth:`stop` does; the caller holds the sandbox's lock, or need not."""
        if container.state == cri.CONTAINER_CREATED:
            container.end(0, self._inventory.now())
            container.refresh()  # a runtime that was killed may have begun to start it: the monitor looks at the end
            if pid := container.unwanted:
                send(pid, signal.SIGKILL)
            return
        watch = self._inventory.watches.get(container.id)
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
        await self._inventory.wait_for_end(watch, f"container {container.id!r}")

    async def remove(self, name: str) -> None:
        """End a container and forget it. An unknown container is no error."""
        try:
            container = self._inventory.container(name)
        except CRIError:
            return
        async with self._inventory.locks[container.sandbox_id]:
            await self.end(container, 0)
            if container.id not in self._inventory.containers:
                return
            self._inventory.forget_watch(container.id)
            # crun keeps no more than this folder: the process is gone, and there are no cgroups
            for folder in (self._crun_root / container.id, container.folder):
                await self._inventory.delete(folder)
            self._store.unpin(self._node, container.id)
            del self._inventory.containers[container.id]  # last: a second call waits for the files
            if sandbox := self._inventory.sandboxes.get(container.sandbox_id):
                self._inventory.publish(sandbox, container.id, cri.CONTAINER_DELETED_EVENT)

    def on_nodes_network(self) -> dict[str, int]:
        """Give the first process of each container that runs on the node's network, by id."""
        return {
            container.id: container.pid
            for container in self._inventory.containers.values()
            if container.state == cri.CONTAINER_RUNNING and self._inventory.sandboxes[container.sandbox_id].host_network
        }

    async def end_for(self, offence: Offence) -> None:
        """Kill a container, and write the reason into its status."""
        container = self._inventory.containers.get(offence.container)
        if container is not None and container.alive:
            container.verdict = REASON, offence.message
            send(offence.process, signal.SIGKILL)
            send(container.pid, signal.SIGKILL)

    def reopen_log(self, name: str) -> None:
        """Have the monitor write to a new file; CRIError when the container does not run."""
        container = self._inventory.container(name)
        if container.state != cri.CONTAINER_RUNNING or container.started is None:
            raise CRIError("container is not running", grpc.StatusCode.FAILED_PRECONDITION)
        send(container.started["monitor"], signal.SIGHUP)

    async def exec_sync(self, name: str, command: list[str], seconds: float) -> execsync.Result:
        """Run a command in a running container. CRIError DEADLINE_EXCEEDED, FAILED_PRECONDITION."""
        return await execsync.run(self._launcher, self.exec_request(self.running(name), command), seconds=seconds)

    def running(self, name: str) -> Container:
        """Find a container that runs. CRIError NOT_FOUND, FAILED_PRECONDITION."""
        container = self._inventory.container(name)
        if container.state != cri.CONTAINER_RUNNING:
            raise CRIError(f"container {container.id!r} is not running", grpc.StatusCode.FAILED_PRECONDITION)
        return container

    def exec_request(self, container: Container, command: Sequence[str]) -> dict[str, object]:
        """Give the launcher's request to run a command in a container; its streams are the caller's to say."""
        return {
            "do": "exec",
            "id": container.id,
            "dir": str(container.folder),
            "command": list(command),
            "crun": self._host.crun,
            "crun_root": str(self._crun_root),
            "group": pods.of_container(
                self._host.cgroups, self._inventory.sandbox(container.sandbox_id).config, container.id, container.config
            ),
        }

    def watch(self, container: Container) -> None:
        """Note the end of a started container, now if it has ended already."""
        assert container.started is not None
        if not container.monitored:
            self._ended(container)
            return
        monitor: int = container.started["monitor"]
        self._inventory.watches[container.id] = Watch(monitor, lambda: self._ended(container))

    def _ended(self, container: Container) -> None:
        container.refresh()
        if container.exit is None:
            # the monitor was killed: its pipe has no reader any more, so the container cannot go on printing
            if pid := container.orphan:
                send(pid, signal.SIGKILL)
            container.end(state.UNKNOWN_EXIT, self._inventory.now(), "ContainerStatusUnknown", "its monitor is gone")
        ended = container.exit or {}
        self._log.info("container ended", container=container.id[:12], code=ended.get("exit_code"))
        if sandbox := self._inventory.sandboxes.get(container.sandbox_id):
            self._inventory.publish(sandbox, container.id, cri.CONTAINER_STOPPED_EVENT)


def log_path(sandbox: cri.PodSandboxConfig, config: cri.ContainerConfig) -> str:
    """Where a container's output goes: a file below the pod's folder of logs, "" for nowhere. Raises ValueError."""
    if not (config.log_path and sandbox.log_directory):
        return ""
    if config.log_path.startswith("/") or ".." in Path(config.log_path).parts or "\0" in config.log_path:
        raise ValueError(f"log_path: {config.log_path!r}: expected a path below log_directory")
    return str(Path(sandbox.log_directory) / config.log_path)

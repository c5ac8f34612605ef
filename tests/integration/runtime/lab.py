"""A runtime as a process of its own, in a network namespace of its own, and short words for its calls."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import itertools
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tarfile
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import grpc

from kubelab.cri.runtime.v1 import api_pb2 as cri
from kubelab.cri.runtime.v1 import api_pb2_grpc as cri_grpc
from kubelab.linux import syscalls
from kubelab.rpc.runtime.v1 import images_pb2 as pb
from kubelab.rpc.runtime.v1 import images_pb2_grpc
from kubelab.runtime.pods.cleanup import cleanup
from tests.integration.cri.calls import SECONDS, CRICalls
from tests.support.polling import until_true

_OPTIONS = (("grpc.min_reconnect_backoff_ms", 50), ("grpc.initial_reconnect_backoff_ms", 20))
_numbers = itertools.count()
APP = "docker.io/library/app:latest"


def ip(*arguments: str) -> str:
    return subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True).stdout


def wait_for_end(pid: int) -> None:
    """Until a process that need not be ours has ended."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    ended = poll.poll(SECONDS * 1000)
    os.close(fd)
    assert ended, f"{pid} does not end"


def _variables() -> dict[str, str]:
    """The environment that a process started now would have."""
    return {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}


async def until(condition: Callable[[], object]) -> None:
    """Wait for what nothing tells of: a file in a place that the runtime does not show."""
    await until_true(condition, within=SECONDS)


class Lab(CRICalls):
    """One node: its network namespace, its folders, its runtime; ``apart`` with a machine of its own (a node agent),
    and folders for the runtime that are not the machine's. ``mounts`` is a script that makes another machine of this
    one first, by mounts that the runtime and its pods alone see."""

    def __init__(self, folder: Path, *, apart: bool = False, mounts: str = "") -> None:
        super().__init__(folder / "logs")
        self.folder, self.state, self.store = folder, folder / "state", folder / "store"
        self.apart, self.launcher_socket, self.mounts = apart, folder / "l", mounts
        self._machine: subprocess.Popen[bytes] | None = None
        self.namespace = f"kl-runtime-{os.getpid()}-{next(_numbers)}"
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: grpc.aio.Channel | None = None
        self._log_begins = 0
        self._starts = 0
        self._variables: dict[str, str] = {}
        self._cached: set[Path] = set()
        self._untouched: list[object] = []
        ip("netns", "add", self.namespace)
        ip("-n", self.namespace, "link", "set", "lo", "up")

    async def start(self) -> None:
        """Start the runtime, again after :meth:`kill`, and wait until it answers."""
        if self.apart and (self._machine is None or self._machine.poll() is not None):
            self._machine = await asyncio.to_thread(self._spawn_machine)
        self._process = await asyncio.to_thread(self._spawn)
        self._starts += 1
        await self.connect()

    async def connect(self) -> None:
        """Wait until the runtime answers this event loop."""
        self._channel = grpc.aio.insecure_channel(f"unix:{self.folder / 's'}", options=_OPTIONS)
        async with asyncio.timeout(SECONDS):
            await self._channel.channel_ready()
        self.runtime = cri_grpc.RuntimeServiceStub(self._channel)
        self.images = cri_grpc.ImageServiceStub(self._channel)
        self.image_store: Any = images_pb2_grpc.ImageStoreStub(self._channel)
        # what it launches later bears the launcher's name for a moment, and need not end with it
        self.launcher = next(pid for pid, name in self.processes().items() if name == "kl-launcher")

    @property
    def pid(self) -> int:
        """The runtime's."""
        assert self._process is not None
        return self._process.pid

    @property
    def machine(self) -> subprocess.Popen[bytes]:
        """The machine's first process."""
        assert self._machine is not None
        return self._machine

    @property
    def agent_socket(self) -> Path:
        return self.folder / "a"

    def _spawn_machine(self) -> subprocess.Popen[bytes]:
        command = ["nsenter", f"--net=/run/netns/{self.namespace}", sys.executable, "-m", "kubelab.nodeagent"]
        flags = {
            "node-name": "lab",
            "socket": self.agent_socket,
            "launcher-socket": self.launcher_socket,
            "state-dir": self.state,
            "tunnels-file": self.folder / "tunnels.json",
            "grace-seconds": 0.5,
        }
        command += [f"--{flag}={value}" for flag, value in flags.items()]
        with (self.folder / "machine.log").open("ab") as log:
            return subprocess.Popen(command, cwd="/", stdout=log, stderr=log)

    @property
    def machine_log(self) -> str:
        """What the machine has logged."""
        return (self.folder / "machine.log").read_text()

    def _spawn(self) -> subprocess.Popen[bytes]:
        command = ["nsenter", f"--net=/run/netns/{self.namespace}", sys.executable, "-m", "kubelab.runtime"]
        flags = {"name": "runtime@lab", "socket": "s", "state-dir": self.state, "store-dir": self.store}
        mounts = "mount -t tmpfs runtime-only /opt && touch /opt/runtime-only" if self.apart else self.mounts
        if mounts:
            command = ["unshare", "--mount", "sh", "-ec", f'{mounts}\nexec "$@"', "-", *command]
        if self.apart:
            flags["launcher-socket"] = self.launcher_socket
        with (self.folder / "runtime.log").open("ab") as log:
            return subprocess.Popen(
                [*command, *(f"--{flag}={value}" for flag, value in flags.items())],
                cwd=self.folder,
                stdout=log,
                stderr=log,
            )

    @property
    def log(self) -> str:
        """What the runtime has logged in this test."""
        return (self.folder / "runtime.log").read_bytes()[self._log_begins :].decode()

    async def disconnect(self) -> None:
        if self._channel:
            await self._channel.close()
            self._channel = None

    # --- one node for several tests, one after the other

    async def begin(self) -> None:
        """Note how the node is while there is nothing on it: so is it again when it is :meth:`emptied`."""
        self._variables, self._cached = _variables(), self._build_cache()
        self._untouched = await asyncio.to_thread(self._traces)

    async def emptied(self) -> bool:
        """Take away what a test has made, by the CRI; False when the node is not as it was before the test."""
        if self._starts != 1:
            return False
        try:
            sandboxes = await self.runtime.ListPodSandbox(cri.ListPodSandboxRequest(), timeout=SECONDS)
            for sandbox in sandboxes.items:
                await self.remove_sandbox(sandbox.id)
            images = await self.images.ListImages(cri.ListImagesRequest(), timeout=SECONDS)
            for image in images.images:
                if APP not in image.repo_tags:
                    request = cri.RemoveImageRequest(image=cri.ImageSpec(image=image.id))
                    await self.images.RemoveImage(request, timeout=SECONDS)
            await self.set_cidr()
        except grpc.aio.AioRpcError:
            return False
        for step in self._build_cache() - self._cached:
            step.unlink()
        await asyncio.to_thread(shutil.rmtree, self.logs, ignore_errors=True)  # pods of the same names write there
        self._log_begins = (self.folder / "runtime.log").stat().st_size
        return await asyncio.to_thread(self._traces) == self._untouched

    def fits(self) -> bool:
        """Whether a runtime that were started now would have the same environment."""
        return self._variables == _variables()

    def _build_cache(self) -> set[Path]:
        return {*(self.store / "build-cache").glob("*.json")}

    def _traces(self) -> list[object]:
        """The node's processes, files, devices, addresses, routes and rules."""
        paths = [*self.state.rglob("*"), *(path for path in self.store.rglob("*") if not path.is_dir())]
        network = [ip("-n", self.namespace, *words) for words in (["-brief", "link"], ["-brief", "addr"], ["route"])]
        rules = ip("netns", "exec", self.namespace, "nft", "--stateless", "list", "ruleset")
        return [self.processes(), sorted(map(str, paths)), network, rules]

    async def kill(self, number: int = signal.SIGKILL) -> int:
        """End the runtime alone; gives its exit code."""
        assert self._process is not None
        self._process.send_signal(number)
        return await self.ended_by_itself()

    async def restart(self) -> None:
        """Kill the runtime alone, and start it again."""
        await self.kill()
        await self.start()

    async def ended_by_itself(self) -> int:
        """Wait until the runtime has ended; gives its exit code."""
        assert self._process is not None
        await self.disconnect()
        code = await asyncio.to_thread(self._process.wait, SECONDS)
        if not self.apart:
            await asyncio.to_thread(wait_for_end, self.launcher)  # it ends by itself, a moment after the runtime
        return code

    async def close(self) -> None:
        """End everything, by the state on disk, and see that it is gone."""
        await self.kill()
        if self._machine:
            self._machine.terminate()
            assert await asyncio.to_thread(self._machine.wait, SECONDS) == 0
        await asyncio.to_thread(cleanup, self.state, grace=0.0)
        with contextlib.suppress(TimeoutError):  # what is left then is told below
            # the monitor of a container that could not be started is nowhere on disk, and about to end
            await until(lambda: not self.processes())
        await asyncio.to_thread(self._clean)

    def _clean(self) -> None:
        left = self.processes()
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        mounts = [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(self.folder) in line]
        ip("netns", "del", self.namespace)
        shutil.rmtree(self.folder)
        assert (left, mounts) == ({}, []), (left, mounts)

    def processes(self) -> dict[int, str]:
        """What runs in the node's network namespace, has mounted something of this node, or one of its logs."""
        node = os.stat(f"/run/netns/{self.namespace}").st_ino  # noqa: PTH116
        found: dict[int, str] = {}
        for entry in Path("/proc").iterdir():
            if not entry.name.isdecimal() or int(entry.name) == os.getpid():
                continue
            with contextlib.suppress(OSError):
                inside = (entry / "ns/net").stat().st_ino == node
                logs = (entry / "fd/2").readlink() in (self.folder / "runtime.log", self.folder / "machine.log")
                if inside or logs or f"{self.folder}/" in (entry / "mountinfo").read_text():
                    found[int(entry.name)] = (entry / "comm").read_text().strip()
        return found

    def on_machine(self, script: str) -> str:
        """Run a script where the runtime is, with its mounts; gives what it prints."""
        command = ["nsenter", f"--mount=/proc/{self.pid}/ns/mnt", "sh", "-ec", script]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def enter_network(self) -> None:
        """Take the calling thread into the node's network namespace."""
        with Path(f"/run/netns/{self.namespace}").open() as namespace:
            syscalls.setns(namespace.fileno(), syscalls.CLONE_NEWNET)

    def started(self, container: str) -> dict[str, int]:
        """What the monitor wrote: the pids of the container and of itself."""
        return json.loads((self.state / "containers" / container / "started.json").read_text())

    def sandbox_pid(self, sandbox: str) -> int:
        """The process that holds a pod's namespaces."""
        return json.loads((self.state / "sandboxes" / sandbox / "sandbox.json").read_text())["pid"]

    # --- images

    async def build(
        self,
        dockerfile: str,
        *tags: str,
        files: Mapping[str, bytes] | None = None,
        context: bytes | None = None,
        **plan: Any,
    ) -> list[str]:
        """Build an image; gives the lines that people read."""
        return [line async for line in self.building(dockerfile, *tags, files=files, context=context, **plan)]

    async def building(
        self,
        dockerfile: str,
        *tags: str,
        files: Mapping[str, bytes] | None = None,
        context: bytes | None = None,
        **plan: Any,
    ) -> AsyncIterator[str]:
        """Build an image; gives each line as it comes. ``context`` is a tar, else made of ``files``; ``plan`` are more
        fields of the request's plan."""

        async def requests() -> AsyncIterator[pb.BuildRequest]:
            told = pb.BuildRequest.Plan(dockerfile=dockerfile, dockerfile_path="Dockerfile", tags=tags, **plan)
            yield pb.BuildRequest(plan=told)
            content = tar_of(files or {}) if context is None else context
            for start in range(0, len(content), 1 << 20):
                yield pb.BuildRequest(context_chunk=content[start : start + (1 << 20)])

        async for message in self.image_store.Build(requests(), timeout=SECONDS):
            if message.line:
                yield message.line

    def image_config(self, image_id: str) -> dict[str, Any]:
        """An image's configuration, as the store keeps it."""
        return json.loads((self.store / "blobs/sha256" / image_id.removeprefix("sha256:")).read_text())

    def record_host(self, config: bytes) -> None:
        """Say of an image, before it is loaded, what the builder alone says: that it lies over the host's folders."""
        (self.store / "on-host" / hashlib.sha256(config).hexdigest()).touch()

    async def load(self, archive: bytes) -> list[str]:
        async def requests() -> AsyncIterator[pb.LoadRequest]:
            for start in range(0, len(archive), 10_000):
                yield pb.LoadRequest(chunk=archive[start : start + 10_000])

        return list((await self.image_store.Load(requests(), timeout=SECONDS)).names)


def tar_of(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()

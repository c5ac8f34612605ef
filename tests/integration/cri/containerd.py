"""containerd as a node's runtime: a daemon of its own, in a network namespace of its own, with folders of its own.

It needs Debian's ``containerd`` and ``runc``, and the CNI plugins ``ptp`` and ``host-local``
(``containernetworking-plugins``) in ``$CNI_PATH`` or where the distribution has them.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import itertools
import json
import os
import shutil
import signal
import subprocess
import tarfile
from pathlib import Path

import grpc

from kubelab.cri.runtime.v1 import api_pb2 as cri
from kubelab.cri.runtime.v1 import api_pb2_grpc as cri_grpc
from tests.integration.cri.calls import POD_CIDR, SECONDS, CRICalls
from tests.support.polling import until_answered

IMAGE = "kubelab.test/app:latest"
PROGRAMS = ("sh", "sleep", "cat", "true", "id", "hostname", "ls", "mkfifo")
CNI_FOLDERS = (*os.environ.get("CNI_PATH", "").split(":"), "/usr/lib/cni", "/opt/cni/bin")
_numbers = itertools.count()

CONFIG = """\
version = 2
root = "{folder}/root"
state = "{folder}/state"
[grpc]
address = "{folder}/s"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{image}"
disable_apparmor = true
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{cni}"
conf_dir = "{folder}/cni"
"""


def cni_folder() -> str:
    """Where the CNI plugins are; "" where they are not."""
    return next((folder for folder in CNI_FOLDERS if folder and Path(folder, "ptp").exists()), "")


def missing() -> str:
    """What of containerd this machine lacks; "" where it lacks nothing."""
    lacking = [program for program in ("containerd", "ctr", "runc") if shutil.which(program) is None]
    return ", ".join([*lacking, *([] if cni_folder() else ["the CNI plugins ptp and host-local"])])


class ContainerdNode(CRICalls):
    """See the module. 1.6 has no event stream: who waits for an end looks again."""

    image = IMAGE

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / "logs")
        self.folder = folder
        self.namespace = f"kl-cri-{os.getpid()}-{next(_numbers)}"
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Start the daemon, and wait until its CRI answers."""
        await asyncio.to_thread(self._prepare)
        await self._spawn()
        await asyncio.to_thread(self._import_image)

    def _prepare(self) -> None:
        subprocess.run(["ip", "netns", "add", self.namespace], check=True)
        subprocess.run(["ip", "-n", self.namespace, "link", "set", "lo", "up"], check=True)
        (self.folder / "cni").mkdir(parents=True)
        config = CONFIG.format(folder=self.folder, image=IMAGE, cni=cni_folder())
        (self.folder / "config.toml").write_text(config)
        ipam = {"type": "host-local", "subnet": POD_CIDR, "dataDir": str(self.folder / "ipam")}
        network = {"cniVersion": "0.4.0", "name": "pods", "plugins": [{"type": "ptp", "ipam": ipam}]}
        (self.folder / "cni/10-pods.conflist").write_text(json.dumps(network))

    async def _spawn(self) -> None:
        command = ["nsenter", f"--net=/run/netns/{self.namespace}", "containerd", "--config", "config.toml"]
        with (self.folder / "log").open("ab") as log:
            self._process = await asyncio.to_thread(
                lambda: subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log)
            )
        self._channel = grpc.aio.insecure_channel(f"unix:{self.folder / 's'}")
        self.runtime = cri_grpc.RuntimeServiceStub(self._channel)
        self.images = cri_grpc.ImageServiceStub(self._channel)
        await until_answered(self._ready, within=SECONDS)

    async def _ready(self) -> bool:
        with contextlib.suppress(grpc.aio.AioRpcError):
            status = await self.runtime.Status(cri.StatusRequest(), timeout=SECONDS, wait_for_ready=True)
            return all(condition.status for condition in status.status.conditions)
        return False

    def _import_image(self) -> None:
        ctr = ["ctr", "--address", str(self.folder / "s"), "--namespace", "k8s.io", "images", "import", "-"]
        subprocess.run(ctr, input=image_archive(IMAGE), check=True, capture_output=True)

    async def restart(self) -> None:
        await self._end(signal.SIGKILL)
        await self._spawn()

    async def ended(self, container: str) -> cri.ContainerStatus:
        async def exited() -> bool:
            return (await self.status(container)).state == cri.CONTAINER_EXITED

        await until_answered(exited, within=SECONDS)
        return await self.status(container)

    async def close(self) -> None:
        """Remove every pod, end the daemon, take the folders away, and see that nothing is left."""
        assert self._process is not None
        if self._process.poll() is not None:
            await self._spawn()
        listed = await self.runtime.ListPodSandbox(cri.ListPodSandboxRequest(), timeout=SECONDS)
        for item in listed.items:
            await self.stop_sandbox(item.id)
            await self.remove_sandbox(item.id)
        await self._end(signal.SIGTERM)
        await asyncio.to_thread(self._clean)

    async def _end(self, number: int) -> None:
        assert self._process is not None
        await self._channel.close()
        self._process.send_signal(number)
        await asyncio.to_thread(self._process.wait, SECONDS)

    def _clean(self) -> None:
        subprocess.run(["ip", "netns", "del", self.namespace], check=True)
        mounts = [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if f"{self.folder}/" in line]
        shutil.rmtree(self.folder)
        assert not mounts


def image_archive(name: str) -> bytes:
    """An image as `docker save` writes it: this machine's shell and a few programs, with their libraries."""
    layer = _tar({path: Path(path).resolve() for program in PROGRAMS for path in _with_libraries(program)})
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Cmd": ["/bin/sleep", "infinity"], "Env": ["PATH=/bin:/usr/bin"]},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
        }
    ).encode()
    manifest = json.dumps([{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]).encode()
    return _tar({"manifest.json": manifest, "config.json": config, "layer.tar": layer})


def _with_libraries(program: str) -> list[str]:
    found = shutil.which(program)
    assert found, program
    told = subprocess.run(["ldd", found], capture_output=True, text=True, check=True).stdout
    libraries = [word for line in told.splitlines() for word in line.split() if word.startswith("/")]
    return [f"/bin/{program}", *libraries]


def _tar(files: dict[str, bytes | Path]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, source in files.items():
            content = source.read_bytes() if isinstance(source, Path) else source
            info = tarfile.TarInfo(name.lstrip("/"))
            info.size, info.mode = len(content), 0o755
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()

"""RUN: a command in a container of its own over the layers so far. What it writes becomes the next layer.

The container has its own pid namespace: when its first process ends the kernel kills all others, so that nothing of a
step is left when the next one begins. The machine's hosts and resolv.conf are seen as read-only copies.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import secrets
import shutil
import signal
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubelab.apimachinery.clock import Clock
from kubelab.cri.runtime.v1 import api_pb2 as cri
from kubelab.runtime.host import hostnetwork
from kubelab.runtime.pods import spec
from kubelab.runtime.pods import state
from kubelab.runtime.build.draft import Draft
from kubelab.runtime.build.errors import SyntaxFault
from kubelab.runtime.build.instructions import Run
from kubelab.runtime.build.lines import here_document
from kubelab.runtime.build.mounts import Mount
from kubelab.runtime.build.outbound import WayOut, way_out
from kubelab.runtime.build.stepmounts import HOST_NAME
from kubelab.runtime.errors import CRIError
from kubelab.runtime.cgroups.pods import of_build
from kubelab.runtime.host.base import Host
from kubelab.runtime.launcher.client import Launcher, Watch
from kubelab.runtime.launcher.signals import send
from kubelab.linux.processes import start_time

FOLLOW_SECONDS = 0.1  # between two looks at what a step has printed
READ_BYTES = 1 << 20  # of what was printed, at once; no line of a log is longer
MAX_SECRET = 100_000  # bytes of all secrets of a step: they travel in one request to the launcher
Origin = str | dict[str, Any]  # a folder of ours, or a layout of layers


@dataclass(frozen=True, slots=True)
class Step:
    """One RUN, with everything that it may see. ``mounts`` have their origins, or a cache's folder, or a secret."""

    arguments: list[str]
    script: tuple[str, str] | None
    mounts: list[tuple[Mount, str, Origin | bytes | None]]
    network: str


def command_of(instruction: Run, shell: list[str]) -> tuple[list[str], tuple[str, str] | None]:
    """The arguments of a RUN, and the file (name, content) that they name where its here-document is a script."""
    command, documents = instruction.command, instruction.line.documents
    if not documents:
        return command.arguments(shell), None
    text = command.words[0]
    try:
        alone = here_document(text) is not None
    except SyntaxFault:
        alone = False
    if not alone:  # the shell reads them itself
        return [*shell, text + "".join(f"\n{document.content}{document.name}" for document in documents)], None
    content = documents[0].text
    if content.startswith("#!"):
        return ["/dev/pipes/script"], ("script", content)
    return [*shell, content], None


class Runner:
    """Runs the steps of builds."""

    def __init__(self, crun_root: Path, host: Host, launcher: Launcher, clock: Clock) -> None:
        self._crun_root, self._host = crun_root, host
        self._launcher, self._clock = launcher, clock

    async def run(self, step: Step, draft: Draft, layout: Mapping[str, Any], folder: Path) -> AsyncGenerator[str]:
        """Run a step in ``folder``, a scratch folder with the layout's root in it; yields what it prints. CRIError."""
        async with way_out(step.network, self._clock) as out:
            async with contextlib.aclosing(self._run(step, draft, layout, folder, out)) as lines:
                async for line in lines:
                    yield line

    async def _run(
        self, step: Step, draft: Draft, layout: Mapping[str, Any], folder: Path, out: WayOut | None
    ) -> AsyncGenerator[str]:
        (folder / "mounts").mkdir()
        parts, mounts, variables = _parts(step, folder, out)
        bundle = self._bundle(step, draft, folder, mounts, variables, out)
        (folder / "config.json").write_text(json.dumps(bundle))
        log = folder / "log"
        request = {"do": "monitor", "dir": str(folder), "log_path": str(log), "rootfs": layout, "parts": parts}
        running = asyncio.ensure_future(self._execute(request))
        try:
            async with contextlib.aclosing(self._printed(log, running)) as lines:
                async for line in lines:
                    yield line
            running.result()
        finally:
            running.cancel()
            await asyncio.wait([running])
        ended = state.read_json(folder / "exit.json", **state.ENDED) or {"exit_code": state.UNKNOWN_EXIT}
        if ended["exit_code"] != 0:
            message = f'process "{" ".join(step.arguments)}" did not complete successfully'
            raise CRIError(f"{message}: exit code: {ended['exit_code']}")

    def _bundle(
        self,
        step: Step,
        draft: Draft,
        folder: Path,
        mounts: list[dict[str, Any]],
        more: Mapping[str, str],
        out: WayOut | None,
    ) -> dict[str, Any]:
        variables = {**draft.run_variables()[0], **more}
        image = {**draft.config, "Env": [f"{key}={value}" for key, value in variables.items()], "Entrypoint": None}
        bundle = spec.build(
            cri.ContainerConfig(command=step.arguments),
            image,
            root=folder / "rootfs",
            pause=0,
            host_network=True,
            files={},
            host=self._host if draft.on_host else None,
        )
        bundle["hostname"] = HOST_NAME
        bundle["mounts"] += mounts
        bundle["linux"]["namespaces"] = [{"type": kind} for kind in ("pid", "mount", "ipc", "uts")]
        if step.network == "none":
            bundle["linux"]["namespaces"].append({"type": "network"})
        elif out:
            bundle["linux"]["namespaces"].append({"type": "network", "path": str(out.namespace)})
        elif step.network == "host" and (path := os.environ.get(hostnetwork.VARIABLE)):
            bundle["linux"]["namespaces"].append({"type": "network", "path": path})
        return bundle

    async def _printed(self, log: Path, running: asyncio.Future[None]) -> AsyncGenerator[str]:
        """The lines of a log in the CRI's format, as they come; ends with what writes them."""
        position, over = 0, False
        while not over:
            with contextlib.suppress(TimeoutError):
                async with self._clock.timeout(FOLLOW_SECONDS):
                    await asyncio.wait([running])
            over = running.done()  # looked at first: all that it has printed is there to be read
            lines = [""]
            while lines:
                lines, position = await asyncio.to_thread(_lines_after, log, position)
                for line in lines:
                    yield line.split(" ", 3)[3]

    async def _execute(self, request: Mapping[str, Any]) -> None:
        """Run a container to its end, and end it when the build is given up."""
        name = f"build-{secrets.token_hex(12)}"
        group = of_build(self._host.cgroups, name)
        base = {"id": name, "crun": self._host.crun, "crun_root": str(self._crun_root), "group": group}
        asking = asyncio.ensure_future(self._launcher.ask({**request, **base}))
        try:
            started = await asyncio.shield(asking)
            await self._ended(started)
        except asyncio.CancelledError:
            await asyncio.wait([asking])
            if asking.exception() is None:
                send(asking.result()["pid"], signal.SIGKILL)
                await self._ended(asking.result())
            raise
        finally:
            shutil.rmtree(self._crun_root / name, ignore_errors=True)  # two small files

    @staticmethod
    async def _ended(started: Mapping[str, Any]) -> None:
        watch = Watch(started["monitor"], lambda: None)
        try:
            if start_time(started["monitor"]) == started["monitor_start"]:
                await watch.over.wait()
        finally:
            watch.close()


def _parts(
    step: Step, folder: Path, out: WayOut | None
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], dict[str, str]]:
    """What the monitor makes ready, what crun mounts of it, and the variables that are secrets."""
    places = folder / "mounts"
    names = {"do": "names", "at": str(places / "names"), "apart": step.network != "host"}
    parts: list[dict[str, Any]] = [names if out is None else {**names, "resolver": out.resolver}]
    mounts = [_mount(places / "names" / name, f"/etc/{name}", "ro") for name in ("hosts", "resolv.conf")]
    files: list[dict[str, Any]] = []
    variables: dict[str, str] = {}
    if step.script:
        files.append(_file("script", step.script[1].encode(), 0o755))
        mounts.append(_mount(places / "files" / "script", "/dev/pipes/script", "ro"))
    for number, (mount, target, origin) in enumerate(step.mounts):
        access, at = "ro" if mount.read_only else "rw", places / str(number)
        if mount.kind == "tmpfs":
            size = [] if mount.size is None else [f"size={mount.size}"]
            options = ["nosuid", "nodev", "noexec", *size]
            mounts.append({"destination": target, "type": "tmpfs", "source": "tmpfs", "options": options})
        elif mount.kind == "cache":
            mounts.append(_mount(Path(str(origin)), target, access))
        elif mount.kind == "bind":
            parts.append({"do": "bind", "at": str(at), "source": mount.source, "origin": origin})
            mounts.append(_mount(at, target, access))
        elif isinstance(origin, bytes):
            if mount.environment:
                variables[mount.environment] = origin.decode(errors="surrogateescape")
            if target:
                mode = 0o400 if mount.mode is None else mount.mode
                files.append(_file(str(number), origin, mode, mount.uid or 0, mount.gid or 0))
                mounts.append(_mount(places / "files" / str(number), target, "ro"))
    if files:
        parts.append({"do": "files", "at": str(places / "files"), "files": files})
    return parts, mounts, variables


def _file(name: str, content: bytes, mode: int, uid: int = 0, gid: int = 0) -> dict[str, Any]:
    return {"file": name, "content": base64.b64encode(content).decode(), "mode": mode, "uid": uid, "gid": gid}


def _mount(source: Path, target: str, access: str) -> dict[str, Any]:
    return {"destination": target, "type": "bind", "source": str(source), "options": ["rbind", "rprivate", access]}


def mount_targets(mounts: Sequence[tuple[Mount, str, Any]]) -> list[str]:
    """Where a step's mounts are in its root: what crun makes there is no file of the step."""
    return ["/etc/hosts", "/etc/resolv.conf", *(target for _, target, _ in mounts if target)]


def _lines_after(log: Path, position: int) -> tuple[list[str], int]:
    """Some whole lines after a position, and the position after them."""
    try:
        with log.open("rb") as file:
            file.seek(position)
            content = file.read(READ_BYTES)
    except FileNotFoundError:
        return [], position
    whole = content[: content.rfind(b"\n") + 1]
    return [line.decode(errors="replace") for line in whole.split(b"\n")[:-1]], position + len(whole)

"""A launcher that is the machine's and not the runtime's: what a runtime sees of it, and what it cannot do to it."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kubelab.cri.runtime.v1 import api_pb2 as cri
from tests.integration.runtime.lab import SECONDS, Lab, until, wait_for_end

pytestmark = pytest.mark.root
FOREVER = ["sleep", "infinity"]


@pytest.fixture
async def apart() -> AsyncIterator[Lab]:
    """A node whose runtime has a mount namespace of its own, with another /opt than the machine's."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    if shutil.which("crun") is None:
        pytest.skip("no crun on this machine")
    node = Lab(Path(tempfile.mkdtemp(prefix="kl-apart-")), apart=True)
    await node.start()
    try:
        await node.set_cidr()
        await node.build("FROM host\n", "app")
        yield node
    finally:
        await node.close()


def parents(pid: int) -> list[int]:
    """The processes above one, up to the machine's first."""
    found: list[int] = []
    while pid > 1:
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        found.append(pid)
    return found


def runtimes_mounts(pid: int) -> list[str]:
    return [line for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines() if "runtime-only" in line]


async def test_pods_are_the_launchers_and_see_its_machine(apart: Lab) -> None:
    sandbox = await apart.sandbox("web")
    assert await apart.output(sandbox, "look", "ls /opt") == await asyncio.to_thread(listing, Path("/opt"))
    container = await apart.run(sandbox, "app", FOREVER)
    pause = json.loads((apart.state / "sandboxes" / sandbox / "sandbox.json").read_text())["pid"]
    started = apart.started(container)
    for pid in (pause, started["pid"], started["monitor"]):
        assert apart.pid not in parents(pid)
        assert runtimes_mounts(pid) == []
    assert runtimes_mounts(apart.pid) != []
    assert (await apart.execute(container, "/bin/sh", "-c", "exit 3")).exit_code == 3


def listing(folder: Path) -> str:
    return "".join(f"{name}\n" for name in sorted(path.name for path in folder.iterdir()))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_the_next_runtime_takes_over_what_the_last_one_left(apart: Lab, number: int) -> None:
    sandbox = await apart.sandbox("web")
    ticks = await apart.run(sandbox, "ticks", ["/bin/sh", "-c", "while :; do echo tick; sleep 0.05; done"])
    log = Path((await apart.status(ticks)).log_path)
    before, launcher = apart.started(ticks)["pid"], apart.launcher
    for _ in range(2):
        await apart.kill(number)
        lines = len(apart.lines(log))
        await until(lambda lines=lines: len(apart.lines(log)) > lines)
        await apart.start()
        assert (await apart.status(ticks)).state == cri.CONTAINER_RUNNING
    assert (apart.started(ticks)["pid"], apart.launcher) == (before, launcher)
    assert await apart.run(sandbox, "next", FOREVER)
    await apart.stop_container(ticks)
    assert (await apart.status(ticks)).exit_code == 137


async def test_a_runtime_that_stands_still_holds_nothing_up_and_keeps_its_place(apart: Lab) -> None:
    sandbox = await apart.sandbox("web")
    ticks = await apart.run(sandbox, "ticks", ["/bin/sh", "-c", "while :; do echo tick; sleep 0.05; done"])
    log = Path((await apart.status(ticks)).log_path)
    os.kill(apart.pid, signal.SIGSTOP)
    try:
        lines = len(apart.lines(log))
        await until(lambda: len(apart.lines(log)) > lines)
        assert await greeting(apart.launcher_socket) == {"error": f"it serves another runtime, process {apart.pid}"}
    finally:
        os.kill(apart.pid, signal.SIGCONT)
    assert (await apart.status(ticks)).state == cri.CONTAINER_RUNNING
    assert await apart.run(sandbox, "next", FOREVER)


async def greeting(path: Path) -> dict[str, object]:
    """What a launcher says to a new runtime."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as link:
        link.setblocking(False)
        link.connect(str(path))
        async with asyncio.timeout(SECONDS):
            return json.loads(await asyncio.get_running_loop().sock_recv(link, 65536))


async def test_a_place_is_free_when_its_runtime_has_gone(apart: Lab) -> None:
    await apart.kill()
    assert await greeting(apart.launcher_socket) == {"ready": True}
    assert await greeting(apart.launcher_socket) == {"ready": True}


async def test_a_command_ends_with_the_runtime_that_asked_for_it(apart: Lab) -> None:
    container = await apart.run(await apart.sandbox("web"), "app", FOREVER)
    asking = asyncio.ensure_future(apart.execute(container, "/bin/sh", "-c", "sleep 555; true", seconds=0))
    await until(lambda: "kl-exec" in apart.processes().values())
    await until(lambda: list(apart.processes().values()).count("sleep") == 3)  # of the pod, of the container, ours
    await apart.kill()
    await asyncio.gather(asking, return_exceptions=True)
    await until(lambda: list(apart.processes().values()).count("sleep") == 2)
    await until(lambda: "kl-exec" not in apart.processes().values())


async def test_a_runtime_ends_with_the_machines_launcher_and_finds_the_next_one(apart: Lab) -> None:
    sandbox = await apart.sandbox("web")
    container = await apart.run(sandbox, "app", FOREVER)
    os.kill(apart.launcher, signal.SIGKILL)
    assert await apart.ended_by_itself() == 1
    assert "the launcher, process" in apart.log
    await apart.start()
    assert (await apart.status(container)).state == cri.CONTAINER_RUNNING
    assert await apart.run(sandbox, "next", FOREVER)
    await asyncio.to_thread(os.kill, apart.started(container)["pid"], signal.SIGKILL)
    await asyncio.to_thread(wait_for_end, apart.started(container)["monitor"])
    assert (await apart.ended(container)).exit_code == 137

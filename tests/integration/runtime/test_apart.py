"""A launcher that is the machine's and not the runtime's: what a runtime sees of it, and what it cannot do to it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from kubelab.cri.runtime.v1 import api_pb2 as cri
from tests.integration.runtime.lab import SECONDS, Lab, until, wait_for_end

pytestmark = pytest.mark.root
FOREVER = ["sleep", "infinity"]


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


async def test_a_machine_that_is_told_to_end_lets_its_pods_end(apart: Lab) -> None:
    sandbox = await apart.sandbox("web")
    tidy = "trap 'echo bye; exit 3' TERM; while :; do sleep 0.05; done"
    first = await apart.run(sandbox, "tidy", ["/bin/sh", "-c", tidy])
    late = await apart.run(sandbox, "late", FOREVER)
    assert (await apart.execute(first, "true")).exit_code == 0
    apart.machine.terminate()
    assert await asyncio.to_thread(apart.machine.wait, SECONDS) == 0
    assert await apart.ended_by_itself() == 1  # its launcher has gone
    assert apart.processes() == {}
    assert [line.split(" ", 3)[3] for line in apart.lines(apart.logs / "web/tidy/0.log")] == ["bye"]
    await apart.start()
    assert {c: (await apart.status(c)).exit_code for c in (first, late)} == {first: 3, late: 137}
    assert (await apart.sandbox_status(sandbox)).status.state == cri.SANDBOX_NOTREADY
    assert await apart.sandbox("web") != sandbox


async def test_what_serves_the_machine_is_started_again(apart: Lab) -> None:
    agent = next(pid for pid, name in apart.processes().items() if name == "kl-agent")
    os.kill(agent, signal.SIGKILL)
    await until(lambda: {p for p, name in apart.processes().items() if name == "kl-agent"} - {agent})
    assert "agent ended, starting it again code=-9" in apart.machine_log


NO_ADMIN = ["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin"]


@pytest.mark.parametrize(
    ("where", "told"),
    [
        (["nsenter", "--net=/run/netns/{}", *NO_ADMIN], "cap_add: [SYS_ADMIN, NET_ADMIN]"),
        ([], 'network_mode: "service:NODE"'),
        (["unshare", "--pid", "--fork", "--mount-proc"], 'pid: "service:NODE"'),
    ],
)
async def test_a_runtime_in_the_wrong_place_says_what_its_container_lacks(
    apart: Lab, where: list[str], told: str
) -> None:
    await apart.kill()
    folders = [f"--state-dir={apart.state}", f"--store-dir={apart.store}"]
    flags = ["--socket=t", *folders, f"--launcher-socket={apart.launcher_socket}"]
    ended = await asyncio.to_thread(
        subprocess.run,
        [*(part.format(apart.namespace) for part in where), sys.executable, "-m", "kubelab.runtime", *flags],
        cwd=apart.folder,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert ended.returncode == 1
    assert told in ended.stderr.replace("\\", "")
    assert "Traceback" not in ended.stderr

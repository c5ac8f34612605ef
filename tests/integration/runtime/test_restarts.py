"""What goes on, and what is found again, when the runtime, a monitor or everything is killed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from kubelab.cri.runtime.v1 import api_pb2 as cri
from kubelab.runtime.pods.cleanup import cleanup
from tests.integration.runtime.lab import SECONDS, Lab, ip, until, wait_for_end
from tests.support.polling import until_true

pytestmark = pytest.mark.root
FOREVER = ["sleep", "infinity"]


async def test_containers_run_and_log_on_without_the_runtime_and_are_taken_over(lab: Lab) -> None:
    sandbox = await lab.sandbox("web")
    ticks = await lab.run(sandbox, "ticks", ["/bin/sh", "-c", "while :; do echo tick; sleep 0.05; done"])
    address = (await lab.sandbox_status(sandbox)).status.network.ip
    log = Path((await lab.status(ticks)).log_path)
    before = lab.started(ticks)["pid"]
    await lab.kill()
    lines = len(lab.lines(log))
    await lab.start()  # takes longer than two ticks
    assert (await lab.status(ticks)).state == cri.CONTAINER_RUNNING
    assert lab.started(ticks)["pid"] == before
    assert len(lab.lines(log)) > lines
    status = (await lab.sandbox_status(sandbox)).status
    assert (status.state, status.network.ip) == (cri.SANDBOX_READY, address)
    assert await lab.sandbox("web") == sandbox
    other = await lab.sandbox("other")
    assert (await lab.sandbox_status(other)).status.network.ip != address
    await lab.stop_container(ticks)
    assert (await lab.status(ticks)).exit_code == 137


async def test_sigterm_ends_the_runtime_alone(lab: Lab) -> None:
    sandbox = await lab.sandbox("web")
    container = await lab.run(sandbox, "app", FOREVER)
    assert await lab.kill(signal.SIGTERM) == 0
    assert (lab.state / "containers" / container).is_dir()
    assert "kl-monitor" in lab.processes().values()
    await lab.start()
    assert (await lab.status(container)).state == cri.CONTAINER_RUNNING
    assert (await lab.execute(container, "true")).exit_code == 0


async def test_a_runtime_whose_launcher_is_killed_ends_and_the_next_one_goes_on(lab: Lab) -> None:
    sandbox = await lab.sandbox("web")
    container = await lab.run(sandbox, "app", FOREVER)
    os.kill(lab.launcher, signal.SIGKILL)
    assert await lab.ended_by_itself() == 1
    assert "the launcher, process" in lab.log
    await lab.start()
    assert (await lab.status(container)).state == cri.CONTAINER_RUNNING
    assert await lab.run(sandbox, "next", FOREVER)


async def test_what_goes_on_holds_nothing_of_the_runtime_open(lab: Lab) -> None:
    """A descriptor in their hands would keep the runtime's socket, an event loop or a lock alive after it."""
    sandbox = await lab.sandbox("web")
    container = await lab.run(sandbox, "app", FOREVER)
    pause = json.loads((lab.state / "sandboxes" / sandbox / "sandbox.json").read_text())["pid"]
    assert descriptors(pause) == {"0", "1", "2"}
    monitor = lab.started(container)["monitor"]
    for name, link in open_files(monitor).items():
        own = link.startswith(("pipe:", str(lab.logs), "/dev/null", "/sys/fs/cgroup/")) or link == "anon_inode:[pidfd]"
        assert own or link in attach_sockets(monitor) or name in ("1", "2"), link
    program = lab.started(container)["pid"]
    # While the kernel loads a program, the program has its libraries open.
    await until_true(lambda: descriptors(program) == {"0", "1", "2"}, within=SECONDS)


def attach_sockets(pid: int) -> set[str]:
    """The sockets at which clients attach, as far as a process sees them."""
    lines = [line.split() for line in Path(f"/proc/{pid}/net/unix").read_text().splitlines()]
    return {f"socket:[{words[6]}]" for words in lines if words[-1].endswith("/attach.sock")}


def descriptors(pid: int) -> set[str]:
    return {path.name for path in Path(f"/proc/{pid}/fd").iterdir()}


def open_files(pid: int) -> dict[str, str]:
    return {path.name: str(path.readlink()) for path in Path(f"/proc/{pid}/fd").iterdir()}


async def test_an_exit_code_is_kept_while_the_runtime_is_down(lab: Lab) -> None:
    sandbox = await lab.sandbox("web")
    container = await lab.run(
        sandbox, "app", ["/bin/sh", "-c", "trap 'echo bye; exit 7' TERM; while :; do sleep 0.05; done"]
    )
    assert (await lab.execute(container, "true")).exit_code == 0
    started = lab.started(container)
    await lab.kill()
    os.kill(started["pid"], signal.SIGTERM)
    await asyncio.to_thread(wait_for_end, started["monitor"])
    await lab.start()
    status = await lab.status(container)
    assert (status.state, status.exit_code) == (cri.CONTAINER_EXITED, 7)
    assert [line.split(" ", 3)[3] for line in lab.lines(status.log_path)] == ["bye"]


async def test_what_ends_before_it_is_written_down_has_run_once(lab: Lab) -> None:
    """Such a container is a process that nobody has waited for when its start is recorded."""
    sandbox = await lab.sandbox("web")
    containers = await asyncio.gather(
        *(lab.run(sandbox, f"quick-{n}", ["/bin/sh", "-c", "echo once; exit 3"]) for n in range(12))
    )
    for container in containers:
        assert (await lab.ended(container)).exit_code == 3
    await lab.kill()
    await lab.start()
    for container in containers:
        status = await lab.status(container)
        assert (status.state, status.exit_code) == (cri.CONTAINER_EXITED, 3)
        assert [line.split(" ", 3)[3] for line in lab.lines(status.log_path)] == ["once"]
        assert all(isinstance(value, int) for value in lab.started(container).values())


async def test_a_container_ends_with_its_monitor(lab: Lab) -> None:
    container = await lab.run(await lab.sandbox("web"), "app", FOREVER)
    os.kill(lab.started(container)["monitor"], signal.SIGKILL)
    status = await lab.ended(container)
    assert (status.exit_code, status.reason) == (137, "ContainerStatusUnknown")
    await asyncio.to_thread(wait_for_end, lab.started(container)["pid"])


async def test_a_sandbox_is_not_ready_once_what_holds_it_is_killed(lab: Lab) -> None:
    async with lab.events() as events:
        sandbox = await lab.sandbox("web")
        pause = json.loads((lab.state / "sandboxes" / sandbox / "sandbox.json").read_text())["pid"]
        os.kill(pause, signal.SIGKILL)
        async with asyncio.timeout(SECONDS):
            while (await anext(events)).container_event_type != cri.CONTAINER_STOPPED_EVENT:
                pass
    assert (await lab.sandbox_status(sandbox)).status.state == cri.SANDBOX_NOTREADY
    assert await lab.sandbox("web") != sandbox


@pytest.mark.parametrize("milliseconds", [2, 6, 12, 18, 25])
async def test_a_runtime_killed_while_it_makes_a_pod_leaves_no_half_of_it(lab: Lab, milliseconds: int) -> None:
    making = asyncio.ensure_future(lab.sandbox("web"))
    await asyncio.wait([making], timeout=milliseconds / 1000)
    await lab.kill()
    await asyncio.gather(making, return_exceptions=True)
    await lab.start()
    listed = await lab.runtime.ListPodSandbox(cri.ListPodSandboxRequest(), timeout=SECONDS)
    devices = [line for line in ip("-n", lab.namespace, "-brief", "link").splitlines() if line.startswith("kl")]
    assert len(devices) == len(listed.items)
    assert await lab.sandbox("web")


@pytest.mark.parametrize("milliseconds", [1, 5, 10, 15, 20])
async def test_what_a_killed_kubelet_had_begun_is_brought_to_its_end(lab: Lab, milliseconds: int) -> None:
    """Its calls are cancelled with its connection; a new one lists, calls again, and finds everything whole."""
    await given_up_after(milliseconds, lab.runtime.RunPodSandbox(lab.sandbox_request("web"), timeout=SECONDS))
    sandbox = await lab.sandbox("web")
    await until(lambda: "sleep" in lab.processes().values())  # what holds a sandbox answers before it runs it
    assert sum(name in ("sleep", "kl-pause") for name in lab.processes().values()) == 1
    container = await lab.create(sandbox, "app", ["sh", "-c", "sleep infinity; :"])
    start = cri.StartContainerRequest(container_id=container)
    await given_up_after(milliseconds, lab.runtime.StartContainer(start, timeout=SECONDS))
    await lab.start_container(container)
    assert (await lab.status(container)).state == cri.CONTAINER_RUNNING
    await given_up_after(milliseconds, lab.runtime.StopContainer(cri.StopContainerRequest(container_id=container)))
    await lab.stop_container(container)
    assert (await lab.status(container)).state == cri.CONTAINER_EXITED
    remove = cri.RemovePodSandboxRequest(pod_sandbox_id=sandbox)
    await given_up_after(milliseconds, lab.runtime.RemovePodSandbox(remove, timeout=SECONDS))
    await lab.remove_sandbox(sandbox)
    await until(lambda: set(lab.processes().values()) <= {"python", "python3", "kl-launcher"})
    await lab.kill()
    await lab.start()
    listed = await lab.runtime.ListContainers(cri.ListContainersRequest(), timeout=SECONDS)
    assert list(listed.containers) == []


@pytest.mark.parametrize("milliseconds", [5, 40])
async def test_what_a_killed_kubelet_had_begun_to_remove_is_gone_when_the_next_is_answered(
    lab: Lab, milliseconds: int
) -> None:
    sandbox = await lab.sandbox("web")
    container = await lab.run(sandbox, "app", FOREVER)
    for number in range(2000):  # deleting them takes its time
        (lab.state / "containers" / container / f"{number}").touch()
    remove = cri.RemovePodSandboxRequest(pod_sandbox_id=sandbox)
    await given_up_after(milliseconds, lab.runtime.RemovePodSandbox(remove, timeout=SECONDS))
    await lab.remove_sandbox(sandbox)
    assert [*(lab.state / "containers").iterdir(), *(lab.state / "sandboxes").iterdir()] == []


@pytest.mark.parametrize("milliseconds", [5, 40])
async def test_a_runtime_killed_while_it_removes_a_pod_begins_again(lab: Lab, milliseconds: int) -> None:
    sandbox = await lab.sandbox("web")
    container = await lab.run(sandbox, "app", FOREVER)
    for number in range(2000):
        (lab.state / "containers" / container / f"{number}").touch()
    remove = cri.RemovePodSandboxRequest(pod_sandbox_id=sandbox)
    await given_up_after(milliseconds, lab.runtime.RemovePodSandbox(remove, timeout=SECONDS))
    await lab.kill()
    await lab.start()
    await lab.remove_sandbox(sandbox)
    assert [*(lab.state / "containers").iterdir(), *(lab.state / "sandboxes").iterdir()] == []


async def test_a_container_stopped_while_it_is_started_has_ended(lab: Lab) -> None:
    container = await lab.create(await lab.sandbox("web"), "app", FOREVER)
    start = asyncio.ensure_future(lab.start_container(container))
    await asyncio.wait([start], timeout=0.005)
    await lab.stop_container(container)
    await asyncio.gather(start, return_exceptions=True)
    assert (await lab.status(container)).state == cri.CONTAINER_EXITED
    await until(lambda: "kl-monitor" not in lab.processes().values())


async def given_up_after(milliseconds: int, call: Any) -> None:
    """Cancel a call as a killed client's connection does."""
    answered = asyncio.ensure_future(asyncio.wait_for(call, milliseconds / 1000))
    await asyncio.gather(answered, return_exceptions=True)


async def test_cleaning_up_needs_no_runtime_and_does_so_twice(lab: Lab) -> None:
    sandbox = await lab.sandbox("web")
    await lab.run(sandbox, "app", FOREVER)
    unread = await lab.run(sandbox, "unread", FOREVER)
    started = lab.started(unread)
    await lab.kill()
    os.kill(started["monitor"], signal.SIGKILL)
    for _ in range(2):
        await asyncio.to_thread(cleanup, lab.state, grace=0.0)
        assert lab.processes() == {}
    await lab.start()
    listed = await lab.runtime.ListContainers(cri.ListContainersRequest(), timeout=SECONDS)
    assert {c.state for c in listed.containers} == {cri.CONTAINER_EXITED}
    assert (await lab.sandbox_status(sandbox)).status.state == cri.SANDBOX_NOTREADY

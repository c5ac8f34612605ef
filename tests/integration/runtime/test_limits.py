"""Limits of memory, processor time and processes, enforced by this machine's control groups."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from kubelab.cri.runtime.v1 import api_pb2 as cri
from tests.integration.runtime.conftest import running
from tests.integration.runtime.lab import SECONDS, Lab, until

pytestmark = pytest.mark.root
PYTHON = "/usr/bin/python3"
MIB = 1 << 20
HOG = "x = bytearray(200 << 20)"
FORKS = """
import os, signal, time
made, why = [], ""
try:
    while len(made) < 200:
        pid = os.fork()
        if not pid:
            signal.pause()
        made.append(pid)
except OSError as err:
    why = err.strerror
print("several" if len(made) > 20 else len(made), why, flush=True)
if wait:
    signal.pause()
"""


@pytest.fixture
async def node() -> AsyncIterator[Lab]:
    """A node on a machine with usable control groups; nothing of it is left afterwards."""
    async with running(apart=False) as lab:
        status = await lab.runtime.Status(cri.StatusRequest(), timeout=SECONDS)
        told = next(c for c in status.status.conditions if c.type == "LimitsEnforced")
        if not told.status:
            pytest.skip(told.message)
        assert told.message.startswith("limits of cpu, memory and pids are enforced by control groups v")
        groups = [Path(tree["path"]) for tree in offer(lab)["trees"]]
        yield lab
    assert [group for group in groups if group.exists()] == []


def offer(lab: Lab) -> dict[str, list[dict[str, str]]]:
    return json.loads((lab.state / "cgroups.json").read_text())


def below(lab: Lab) -> set[str]:
    """The node's groups of pods and containers."""
    tops = [Path(tree["path"]) for tree in offer(lab)["trees"]]
    return {str(path.relative_to(top)) for top in tops for path in (top / "kubepods").rglob("*") if path.is_dir()}


def folder(lab: Lab, controller: str) -> Path:
    return next(Path(tree["path"]) for tree in offer(lab)["trees"] if controller in tree["controllers"])


def limited(memory: int = 0, *, shares: int = 0, quota: int = 0) -> cri.LinuxContainerConfig:
    return cri.LinuxContainerConfig(
        resources=cri.LinuxContainerResources(memory_limit_in_bytes=memory, cpu_shares=shares, cpu_quota=quota)
    )


async def sandbox(lab: Lab, name: str, quality: str = "burstable", **unified: str) -> str:
    config = lab.sandbox_config(name)
    config.linux.cgroup_parent = f"/kubepods/{quality}/pod{name}"
    config.linux.resources.cpu_shares = 100
    config.linux.resources.unified.update({key.replace("_", "."): value for key, value in unified.items()})
    answer = await lab.runtime.RunPodSandbox(cri.RunPodSandboxRequest(config=config), timeout=SECONDS)
    return answer.pod_sandbox_id


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ([PYTHON, "-c", HOG], 137),
        (["/bin/sh", "-c", f"{PYTHON} -c '{HOG}'; exit 3"], 3),
    ],
    ids=["the first process", "a child of it"],
)
async def test_who_takes_more_memory_than_its_limit_is_killed_for_it(node: Lab, command: list[str], code: int) -> None:
    pod = await sandbox(node, "hog")
    container = await node.run(pod, "app", command, linux=limited(64 * MIB))
    status = await node.ended(container)
    if code == 3 and folder(node, "memory").joinpath("cgroup.controllers").exists():
        code = 137  # version 2 kills all of a container
    assert (status.exit_code, status.reason) == (code, "OOMKilled")
    within = await node.run(pod, "small", [PYTHON, "-c", "x = bytearray(20 << 20)"], linux=limited(64 * MIB))
    assert (await node.ended(within)).reason == "Completed"


async def test_a_limit_that_is_too_low_to_begin(node: Lab) -> None:
    container = await node.create(await sandbox(node, "small"), "app", ["true"], linux=limited(100_000))
    with pytest.raises(grpc.aio.AioRpcError, match=r"container init was OOM-killed \(memory limit too low\?\)"):
        await node.start_container(container)


async def test_processes_of_a_pod_are_counted_together_and_no_other_pod_notices(node: Lab) -> None:
    pod = await sandbox(node, "bomb", pids_max="64")
    bomb = await node.run(pod, "bomb", [PYTHON, "-uc", f"wait = True\n{FORKS}"])
    log = Path((await node.status(bomb)).log_path)
    await until(lambda: log.exists() and "Resource temporarily unavailable" in log.read_text())
    inside = await node.execute(bomb, PYTHON, "-c", "import os; os.fork()")
    assert inside.exit_code != 0, "what exec runs counts, too"
    assert (
        await node.output(await sandbox(node, "other"), "app", f"{PYTHON} -c '{'wait = False'}{FORKS}'") == "several \n"
    )


async def test_a_container_has_the_processor_for_as_long_as_its_quota_says(node: Lab) -> None:
    pod = await sandbox(node, "busy")
    busy = ["/bin/sh", "-c", "while :; do :; done"]
    container = await node.run(pod, "app", busy, linux=limited(shares=256, quota=20_000))
    group = folder(node, "cpu") / "kubepods/burstable/podbusy" / container

    def throttled() -> int:
        return int(dict(line.split() for line in (group / "cpu.stat").read_text().splitlines())["nr_throttled"])

    await until(lambda: throttled() > 3)
    if (group / "cpu.shares").exists():
        assert (group / "cpu.shares").read_text() == "256\n"
        assert (group.parent / "cpu.shares").read_text() == "100\n"


async def test_what_exec_runs_is_in_the_containers_group(node: Lab) -> None:
    container = await node.run(await sandbox(node, "web"), "app", ["sleep", "infinity"])
    done = await node.execute(container, "cat", "/proc/self/cgroup")
    lines = [line for line in done.stdout.decode().splitlines() if f"/kubepods/burstable/podweb/{container}" in line]
    assert len(lines) == len(offer(node)["trees"])


async def test_groups_come_and_go_with_their_pods(node: Lab) -> None:
    pod = await sandbox(node, "web")
    container = await node.run(pod, "app", ["sleep", "infinity"])
    other = await sandbox(node, "other", "besteffort")
    web = {"burstable", "burstable/podweb", "burstable/podweb/pause", f"burstable/podweb/{container}"}
    left = {"besteffort", "besteffort/podother", "besteffort/podother/pause"}
    assert below(node) == {f"kubepods/{name}" for name in web | left}
    shares = folder(node, "cpu") / "kubepods/burstable/cpu.shares"
    assert not shares.exists() or shares.read_text() == "100\n"
    await node.remove_sandbox(pod)
    assert below(node) == {f"kubepods/{name}" for name in {"burstable"} | left}
    await node.remove_sandbox(other)


async def test_what_a_killed_runtime_left_is_taken_away_by_the_next_one(node: Lab) -> None:
    kept = await sandbox(node, "kept")
    container = await node.run(kept, "app", ["sleep", "infinity"])
    await node.kill()
    orphan = [Path(tree["path"]) / "kubepods/burstable/podgone/xyz" for tree in offer(node)["trees"]]
    for group in orphan:
        if (group.parents[2] / "cgroup.subtree_control").exists():
            pytest.skip("made by hand for version 1")
        group.mkdir(parents=True)
    sleeper = await asyncio.create_subprocess_exec("sleep", "infinity")
    for group in orphan:
        (group / "cgroup.procs").write_text(str(sleeper.pid))
    await node.start()
    assert await sleeper.wait() == -9
    assert below(node) == {
        f"kubepods/{name}"
        for name in ("burstable", "burstable/podkept", "burstable/podkept/pause", f"burstable/podkept/{container}")
    }
    assert (await node.status(container)).state == cri.CONTAINER_RUNNING
    await node.stop_container(container)
    assert f"kubepods/burstable/podkept/{container}" not in below(node)


@pytest.mark.parametrize(
    "parent", ["/kubepods/../x/podx", "/", "/system.slice/podx", "/kubepods/a/b/podx", "/kubepods/x"]
)
async def test_a_group_elsewhere_is_refused(node: Lab, parent: str) -> None:
    config = node.sandbox_config("web")
    config.linux.cgroup_parent = f"{parent}/." if parent == "/" else parent
    with pytest.raises(grpc.aio.AioRpcError, match="is no group of a pod"):
        await node.runtime.RunPodSandbox(cri.RunPodSandboxRequest(config=config), timeout=SECONDS)
    assert [*(node.state / "sandboxes").iterdir()] == []

"""Pods with users of their own: root inside is nobody outside, and files look as they would without it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import grpc
import pytest

from kubelab.cri.runtime.v1 import api_pb2 as cri
from tests.integration.runtime.lab import SECONDS, Lab, until
from tests.support import polling

pytestmark = pytest.mark.root
BASE = 3 * 65_536
FOREVER = ["sleep", "infinity"]


async def supported(lab: Lab) -> None:
    """Skip where the kernel or the file system cannot do it; the runtime says so of itself."""
    status = await lab.runtime.Status(cri.StatusRequest(), timeout=SECONDS)
    if not status.runtime_handlers[0].features.user_namespaces:
        pytest.skip("this machine has no idmapped mounts for pods")


async def sandbox_with(lab: Lab, name: str, base: int = BASE, length: int = 65_536) -> str:
    config = lab.sandbox_config(name)
    options = config.linux.security_context.namespace_options.userns_options
    options.mode = cri.POD
    for mappings in (options.uids, options.gids):
        mappings.add(host_id=base, container_id=0, length=length)
    answer = await lab.runtime.RunPodSandbox(cri.RunPodSandboxRequest(config=config), timeout=SECONDS)
    return answer.pod_sandbox_id


def ids_of(pid: str) -> set[str]:
    status = Path(f"/proc/{pid}/status").read_text()
    return {word for line in re.findall(r"^[UG]id:\s+(.*)$", status, re.MULTILINE) for word in line.split()}


async def test_root_inside_is_an_unprivileged_user_outside(lab: Lab) -> None:
    await supported(lab)
    sandbox = await sandbox_with(lab, "web")
    container = await lab.run(sandbox, "app", FOREVER)

    def outside() -> list[int]:
        return [pid for pid, name in lab.processes().items() if name in ("sleep", "pause")]

    await until(lambda: len(outside()) == 2)  # a container has started before its program has the program's name
    assert [ids_of(str(pid)) for pid in outside()] == [{str(BASE)}] * 2
    told = await lab.execute(container, "sh", "-c", "id -u; id -g; cat /proc/self/uid_map; stat -c %u:%g /usr /etc /")
    lines = told.stdout.decode().split("\n")
    assert lines[:2] == ["0", "0"]
    assert lines[2].split() == ["0", str(BASE), "65536"]
    assert lines[3:6] == ["0:0"] * 3, "files of the image and of the host are root's"


async def test_what_it_writes_is_its_own_inside_and_not_roots_outside(lab: Lab, tmp_path: Path) -> None:
    await supported(lab)
    sandbox = await sandbox_with(lab, "web")
    volume = tmp_path / "volume"
    volume.mkdir()
    (volume / "old").write_text("old")
    (volume / "old").chmod(0o600)
    mounts = [cri.Mount(container_path="/data", host_path=str(volume))]
    script = "cat /data/old; echo hello > /data/new; echo mine > /own; chown 7:8 /own; stat -c %u:%g /data/new /own"
    assert await lab.output(sandbox, "app", script, mounts=mounts) == "old0:0\n7:8\n"
    assert ((volume / "new").read_text(), (volume / "new").stat().st_uid) == ("hello\n", 0)
    (own,) = (lab.state / "containers").glob("*/upper/root/own")
    assert (own.stat().st_uid, own.stat().st_gid) == (BASE + 7, BASE + 8)


async def test_it_has_no_rights_outside_its_namespaces(lab: Lab) -> None:
    await supported(lab)
    sandbox = await sandbox_with(lab, "web")
    script = (
        "echo 1 > /proc/sys/kernel/panic || echo refused; ip link set lo up 2>/dev/null; cat /sys/class/net/lo/flags"
    )
    assert "refused" in await lab.output(sandbox, "app", script)


async def test_two_pods_are_apart_and_go_on_when_the_runtime_is_restarted(lab: Lab) -> None:
    await supported(lab)
    one, two = await sandbox_with(lab, "one"), await sandbox_with(lab, "two", BASE + 65_536)
    first, second = await lab.run(one, "app", FOREVER), await lab.run(two, "app", FOREVER)
    await lab.kill()
    await lab.start()
    for container, base in ((first, BASE), (second, BASE + 65_536)):
        told = await lab.execute(container, "cat", "/proc/self/uid_map")
        assert told.stdout.decode().split() == ["0", str(base), "65536"]
    again = await lab.output(one, "again", "id -u; hostname")
    assert again.startswith("0\n")


@pytest.mark.parametrize(("base", "length"), [(0, 65_536), (65_536, 1), (2**32 - 65_536, 65_536)])
async def test_mappings_that_are_no_pods_are_refused(lab: Lab, base: int, length: int) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await sandbox_with(lab, "web", base, length)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


PROBE = """
import signal
from kubelab.runtime.rootfs import userns

def mount(users):
    print(users.space.split("/")[2], flush=True)
    signal.pause()

userns.problem(mount)
"""


async def test_a_probe_ends_with_the_process_that_began_it() -> None:
    """A runtime that is killed while it tries user namespaces leaves no process."""
    with subprocess.Popen([sys.executable, "-c", PROBE], stdout=subprocess.PIPE, text=True) as runtime:
        assert runtime.stdout is not None
        probe = int(runtime.stdout.readline())
        assert Path(f"/proc/{probe}").exists()
        runtime.kill()
    await polling.until_true(lambda: not Path(f"/proc/{probe}").exists(), within=30)

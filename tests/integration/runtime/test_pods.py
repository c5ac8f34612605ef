"""Pods and containers by the CRI, each call made twice."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from pathlib import Path

import grpc
import pytest

from kubelab.cri.runtime.v1 import api_pb2 as cri
from tests.integration.runtime.lab import SECONDS, Lab, ip, until

pytestmark = pytest.mark.root
FOREVER = ["sleep", "infinity"]
TIDY = ["/bin/sh", "-c", "trap 'echo bye; exit 5' TERM; while :; do sleep 0.05; done"]


async def test_the_life_of_a_pod_each_call_twice(lab: Lab) -> None:
    sandbox = await lab.sandbox("web")
    assert await lab.sandbox("web") == sandbox
    container = await lab.create(sandbox, "app", TIDY)
    assert await lab.create(sandbox, "app", TIDY) == container
    assert (await lab.status(container)).state == cri.CONTAINER_CREATED
    for _ in range(2):
        await lab.start_container(container)
        assert (await lab.status(container)).state == cri.CONTAINER_RUNNING
    assert (await lab.execute(container, "true")).exit_code == 0
    for _ in range(2):
        await lab.stop_container(container, 10)
        status = await lab.status(container)
        assert (status.state, status.exit_code, status.reason) == (cri.CONTAINER_EXITED, 5, "Error")
        assert status.created_at <= status.started_at <= status.finished_at
    for _ in range(2):
        await lab.remove_container(container)
    for _ in range(2):
        await lab.stop_sandbox(sandbox)
        assert (await lab.sandbox_status(sandbox)).status.state == cri.SANDBOX_NOTREADY
    for _ in range(2):
        await lab.remove_sandbox(sandbox)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await lab.sandbox_status(sandbox)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert "kl" not in ip("-n", lab.namespace, "-brief", "link")
    assert set(lab.processes().values()) <= {"python", "python3", "kl-launcher"}


async def test_one_pod_asked_for_three_times_at_once_is_one(lab: Lab) -> None:
    assert len(set(await asyncio.gather(*(lab.sandbox("web") for _ in range(3))))) == 1


async def test_ten_pods_at_once_share_one_launcher_and_mix_nothing_up(lab: Lab) -> None:
    names = [f"web-{n}" for n in range(10)]

    async def make(name: str) -> tuple[str, str]:
        sandbox = await lab.sandbox(name)
        said = await lab.output(
            sandbox, "app", 'echo "$(hostname) $(ip -4 -o addr show eth0 | grep -o "inet [0-9.]*")"'
        )
        return said.strip(), (await lab.sandbox_status(sandbox)).status.network.ip

    made = dict(zip(names, await asyncio.gather(*map(make, names)), strict=True))
    assert made == {name: (f"{name} inet {address}", address) for name, (_, address) in made.items()}
    assert len({address for _, address in made.values()}) == len(names)
    listed = await lab.runtime.ListPodSandbox(cri.ListPodSandboxRequest(), timeout=SECONDS)
    await asyncio.gather(*(lab.remove_sandbox(item.id) for item in listed.items))
    assert "kl" not in ip("-n", lab.namespace, "-brief", "link")


async def test_removing_a_pod_takes_what_runs_in_it(lab: Lab) -> None:
    sandbox = await lab.sandbox("web")
    await lab.run(sandbox, "app", FOREVER)
    await lab.remove_sandbox(sandbox)
    listed = await lab.runtime.ListContainers(cri.ListContainersRequest(), timeout=SECONDS)
    assert list(listed.containers) == []
    assert "sleep" not in lab.processes().values()


async def test_names_network_and_files_of_a_pod(lab: Lab) -> None:
    sandbox = await lab.sandbox("web")
    address = (await lab.sandbox_status(sandbox)).status.network.ip
    assert await lab.output(sandbox, "a", "hostname; cat /etc/hostname") == "web\nweb\n"
    assert f"{address}\tweb\n" in await lab.output(sandbox, "b", "cat /etc/hosts")
    resolv = await lab.output(sandbox, "c", "cat /etc/resolv.conf")
    assert resolv == "nameserver 10.96.0.10\nsearch default.svc.cluster.local\n"


async def test_what_is_sent_to_an_address_that_no_pod_has_ends_on_its_node(lab: Lab) -> None:
    async def device() -> str:
        route = ["ip", "-n", lab.namespace, "route", "get", address]
        done = await asyncio.to_thread(subprocess.run, route, capture_output=True, text=True, check=True)
        return done.stdout.split()[2]

    sandbox = await lab.sandbox("web")
    address = (await lab.sandbox_status(sandbox)).status.network.ip
    assert (await device()).startswith("kl")
    await lab.remove_sandbox(sandbox)
    assert await device() == "pod-range"
    await lab.kill()
    ip("-n", lab.namespace, "route", "flush", "table", "main")
    await lab.start()
    assert await device() == "pod-range"


async def test_a_range_that_is_none_is_told(lab: Lab) -> None:
    network = cri.NetworkConfig(pod_cidr="10.244.9.1/24")
    request = cri.UpdateRuntimeConfigRequest(runtime_config=cri.RuntimeConfig(network_config=network))
    with pytest.raises(grpc.aio.AioRpcError, match=r"pod CIDR '10\.244\.9\.1/24': .* has host bits set"):
        await lab.runtime.UpdateRuntimeConfig(request, timeout=SECONDS)


async def test_containers_of_a_pod_share_its_network_and_nothing_of_their_processes(lab: Lab) -> None:
    serve = "import socket; s=socket.create_server(('', 8080)); c,_=s.accept(); c.sendall(b'hello'); c.close()"
    ask = "import socket,sys; print(socket.create_connection((sys.argv[1], 8080), 5).recv(9).decode())"
    wait = "while ! grep -q ':1F90 .* 0A ' /proc/net/tcp; do sleep 0.02; done; "
    sandbox, other = await lab.sandbox("web"), await lab.sandbox("other")
    address = (await lab.sandbox_status(sandbox)).status.network.ip
    await lab.run(sandbox, "one", ["/usr/bin/python3", "-c", serve])
    assert await lab.output(sandbox, "local", f'{wait} /usr/bin/python3 -c "{ask}" 127.0.0.1') == "hello\n"
    server = await lab.run(sandbox, "two", ["/usr/bin/python3", "-c", serve])
    await lab.output(sandbox, "listening", wait)
    assert await lab.output(other, "remote", f'/usr/bin/python3 -c "{ask}" {address}') == "hello\n"
    await lab.ended(server)
    assert await lab.output(sandbox, "alone", "ls -d /proc/[0-9]*") == "/proc/1\n"


async def test_a_port_of_the_node_leads_to_its_pod_until_that_is_stopped(lab: Lab) -> None:
    """From another pod, from the pod itself, from the node and its loopback; also after the runtime was killed."""
    serve = (
        "import socket\n"
        "s = socket.create_server(('', 8080))\n"
        "while True:\n c, a = s.accept()\n c.sendall(a[0].encode())\n c.close()\n"
    )
    ask = "import socket,sys; print(socket.create_connection((sys.argv[1], 18081), 5).recv(99).decode())"
    node = "192.0.2.7"
    ip("-n", lab.namespace, "link", "add", "outside", "type", "bridge")
    ip("-n", lab.namespace, "address", "add", f"{node}/24", "dev", "outside")
    ip("-n", lab.namespace, "link", "set", "outside", "up")

    async def from_node(address: str) -> str:
        command = ["nsenter", f"--net=/run/netns/{lab.namespace}", "/usr/bin/python3", "-c", ask, address]
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True)
        return done.stdout.strip() or done.stderr.splitlines()[-1]

    port = cri.PortMapping(protocol=cri.TCP, container_port=8080, host_port=18081)
    sandbox, other = await lab.sandbox("web", port), await lab.sandbox("other")
    address = (await lab.sandbox_status(other)).status.network.ip
    await lab.run(sandbox, "server", ["/usr/bin/python3", "-c", serve])
    await lab.output(sandbox, "listening", "while ! grep -q ':1F90 .* 0A ' /proc/net/tcp; do sleep 0.02; done")
    command = f'/usr/bin/python3 -c "{ask}" {node}'
    assert await lab.output(other, "remote", command) == f"{address}\n", "the pod sees who calls"
    assert await lab.output(sandbox, "hairpin", command) == f"{node}\n"
    assert await from_node(node) == node
    assert await from_node("127.0.0.1") == node
    with pytest.raises(grpc.aio.AioRpcError, match=r"host port 18081/tcp is in use"):
        await lab.sandbox("third", port)
    await lab.kill()
    await asyncio.to_thread(
        subprocess.run, ["nsenter", f"--net=/run/netns/{lab.namespace}", "nft", "flush", "ruleset"], check=True
    )
    await lab.start()
    assert await from_node(node) == node
    await lab.stop_sandbox(sandbox)
    assert "refused" in await from_node(node)


async def test_a_network_that_cannot_be_made_leaves_nothing_behind(lab: Lab) -> None:
    await lab.set_cidr("224.0.0.0/24")  # the kernel takes none of these for a pod's own
    with pytest.raises(grpc.aio.AioRpcError, match="failed to setup network for sandbox"):
        await lab.sandbox("web")
    assert [*(lab.state / "sandboxes").iterdir()] == []
    await until(lambda: "sleep" not in lab.processes().values())
    await until(lambda: "kl" not in ip("-n", lab.namespace, "-brief", "link"))


async def test_a_privileged_container_may_do_all_and_who_is_killed_first_is_said(lab: Lab) -> None:
    sandbox = await lab.sandbox("web")
    for privileged in (False, True):
        linux = cri.LinuxContainerConfig(
            resources=cri.LinuxContainerResources(oom_score_adj=983),
            security_context=cri.LinuxContainerSecurityContext(privileged=privileged),
        )
        script = "grep CapEff /proc/self/status; cat /proc/self/oom_score_adj; echo $HOSTNAME"
        text = await lab.output(sandbox, f"app-{privileged}".lower(), script, linux=linux)
        own = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("CapEff"))
        assert text.endswith("\n983\nweb\n")
        assert (own in text) == privileged


@pytest.fixture
def hasty_crun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crun whose caller is told to begin its log again while it works."""
    script = tmp_path / "crun"
    script.write_text(f'#!/bin/sh\ncase "$*" in *" run "*) kill -HUP $PPID;; esac\nexec {shutil.which("crun")} "$@"\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")


@pytest.mark.usefixtures("hasty_crun")
async def test_a_log_that_is_begun_again_at_once(lab: Lab) -> None:
    assert await lab.output(await lab.sandbox("web"), "app", "echo here") == "here\n"


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("nope", 'exec: "nope": executable file not found in $PATH: unknown'),
        ("/no/such", 'exec: "/no/such": stat /no/such: no such file or directory: unknown'),
    ],
)
async def test_a_program_that_is_not_there(lab: Lab, command: str, told: str) -> None:
    container = await lab.create(await lab.sandbox("web"), "app", [command])
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await lab.start_container(container)
    assert (caught.value.details() or "").endswith(told)
    status = await lab.status(container)
    assert (status.state, status.exit_code, status.reason) == (cri.CONTAINER_EXITED, 128, "StartError")


async def test_an_image_that_is_not_here(lab: Lab) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await lab.create(await lab.sandbox("web"), "app", FOREVER, "missing")
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_user_folder_variables_and_a_root_that_cannot_be_written(lab: Lab) -> None:
    sandbox = await lab.sandbox("web")
    security = cri.LinuxContainerSecurityContext(run_as_user=cri.Int64Value(value=1000), readonly_rootfs=True)
    text = await lab.output(
        sandbox,
        "app",
        "id -u; pwd; echo $GREETING; touch /tmp/x 2>/dev/null || echo read-only",
        working_dir="/usr",
        envs=[cri.KeyValue(key="GREETING", value="hello")],
        linux=cri.LinuxContainerConfig(security_context=security),
    )
    assert text == "1000\n/usr\nhello\nread-only\n"


async def test_exec_answers_when_its_command_ends_and_kills_one_that_is_late(lab: Lab) -> None:
    container = await lab.run(await lab.sandbox("web"), "app", FOREVER)
    done = await lab.execute(container, "/bin/sh", "-c", "sleep 60 & echo out; echo err >&2; exit 4")
    assert (done.stdout, done.stderr, done.exit_code) == (b"out\n", b"err\n", 4)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await lab.execute(container, "/bin/sh", "-c", "sleep 777; true", seconds=1)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert "timed out" in (caught.value.details() or "")
    left = await lab.execute(container, "/bin/sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
    assert b"777" not in left.stdout.replace(b"cat /proc", b"")


async def test_events_come_in_order(lab: Lab) -> None:
    async with lab.events() as events:
        sandbox = await lab.sandbox("web")
        container = await lab.run(sandbox, "app", ["true"])
        async with asyncio.timeout(SECONDS):
            told = [await anext(events) for _ in range(5)]
            await lab.remove_container(container)
            deleted = await anext(events)
    assert [(event.container_id, event.container_event_type) for event in told] == [
        (sandbox, cri.CONTAINER_CREATED_EVENT),
        (sandbox, cri.CONTAINER_STARTED_EVENT),
        (container, cri.CONTAINER_CREATED_EVENT),
        (container, cri.CONTAINER_STARTED_EVENT),
        (container, cri.CONTAINER_STOPPED_EVENT),
    ]
    assert [s.state for s in told[-1].containers_statuses] == [cri.CONTAINER_EXITED]
    assert (deleted.container_id, deleted.container_event_type) == (container, cri.CONTAINER_DELETED_EVENT)


async def test_nothing_private_of_the_machine_is_seen(lab: Lab) -> None:
    sandbox = await lab.sandbox("web")
    assert await lab.output(sandbox, "homes", "ls -A /root /home /tmp /var/tmp /srv /mnt | grep -v : || true") in (
        "",
        "\n" * 5,
    )
    private = f"/etc/shadow /root/.ssh {lab.folder} {Path.cwd()} {Path.home()}/.kubelab"
    seen = await lab.output(
        sandbox,
        "look",
        f"for f in {private}; do test -e $f && echo $f; done;"
        "for d in /dev/disk /tmp/disk; do mknod $d b 7 0 2>/dev/null && echo $d; done; true",
    )
    assert seen == ""


async def test_status_and_version(lab: Lab) -> None:
    version = await lab.runtime.Version(cri.VersionRequest(), timeout=SECONDS)
    assert (version.runtime_name, version.runtime_api_version) == ("kubelab-runtime", "v1")
    status = await lab.runtime.Status(cri.StatusRequest(), timeout=SECONDS)
    conditions = {c.type: c.status for c in status.status.conditions if c.type != "LimitsEnforced"}  # the machine's
    assert conditions == {"RuntimeReady": True, "NetworkReady": True}
    assert (lab.folder / "s").stat().st_mode & 0o777 == 0o600

"""What a container may do, asked from inside of it."""

from __future__ import annotations

import json
import platform
from pathlib import Path
from typing import Any

import grpc
import pytest

from kubelab.cri.runtime.v1 import api_pb2 as cri
from tests.integration.runtime.lab import SECONDS, Lab

pytestmark = pytest.mark.root
# What each answers by itself is told apart from what only capabilities keep: nobody needs one to make a user namespace.
CALLS = """
import ctypes, os
call = ctypes.CDLL(None, use_errno=True).syscall
for name, *arguments in (("unshare", 272, 0x10000000), ("clone", 56, 0x10000011, 0, 0, 0, 0), ("clone3", 435, 0, 0),
                         ("keyctl", 250, 0, -3, 0), ("add_key", 248, 0, 0, 0, 0, 0), ("io_uring_setup", 425, 1, 0),
                         ("bpf", 321, 0, 0, 0), ("vsock", 41, 40, 1, 0), ("none", 999)):
    answer = call(*arguments)
    if answer == 0 and name == "clone":
        os._exit(0)
    print(name, "done" if answer >= 0 else os.strerror(ctypes.get_errno()), flush=True)
print(*(line.split()[1] for line in open("/proc/self/status") if line.startswith("Seccomp:")))
"""
CLOSED = [
    *(f"{name} Operation not permitted" for name in ("unshare", "clone")),
    "clone3 Function not implemented",
    *(f"{name} Operation not permitted" for name in ("keyctl", "add_key", "io_uring_setup", "bpf", "vsock")),
    "none Function not implemented",
    "2",
]
ASK = f"exec /usr/bin/python3 - <<'END'\n{CALLS}\nEND"


def linux(**security: Any) -> cri.LinuxContainerConfig:
    return cri.LinuxContainerConfig(security_context=cri.LinuxContainerSecurityContext(**security))


numbers = pytest.mark.skipif(platform.machine() != "x86_64", reason="the numbers of the calls are x86-64's")


@numbers
async def test_a_container_that_does_not_say_is_confined_each_time_and_in_exec_too(lab: Lab) -> None:
    sandbox = await lab.sandbox("web")
    for attempt in ("compiled", "kept"):  # the first one's filter is compiled by crun, the second is given it
        assert (await lab.output(sandbox, attempt, ASK)).splitlines() == CLOSED
    container = await lab.run(sandbox, "app", ["sleep", "infinity"])
    done = await lab.execute(container, "/usr/bin/python3", "-c", CALLS)
    assert done.stdout.decode().splitlines() == CLOSED, done.stderr


@numbers
@pytest.mark.parametrize(
    "security",
    [{"seccomp": cri.SecurityProfile(profile_type=cri.SecurityProfile.Unconfined)}, {"privileged": True}],
    ids=["unconfined", "privileged"],
)
async def test_who_asks_for_it_is_not_confined(lab: Lab, security: dict[str, Any]) -> None:
    told = (await lab.output(await lab.sandbox("web"), "app", ASK, linux=linux(**security))).splitlines()
    assert (told[0], told[-1]) == ("unshare done", "0")


async def test_a_profile_of_the_node(lab: Lab) -> None:
    path = lab.folder / "no-mkdir.json"
    rule = {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13}
    path.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}))
    profile = cri.SecurityProfile(profile_type=cri.SecurityProfile.Localhost, localhost_ref=str(path))
    sandbox = await lab.sandbox("web")
    told = await lab.output(sandbox, "a", "mkdir /tmp/x 2>&1; touch /tmp/y", linux=linux(seccomp=profile))
    assert told.endswith("Permission denied\n")
    path.unlink()
    with pytest.raises(grpc.aio.AioRpcError, match=f'cannot load seccomp profile "{path}": No such file or directory'):
        await lab.create(sandbox, "b", ["true"], linux=linux(seccomp=profile))


async def test_the_level_restricted(lab: Lab) -> None:
    """Another user, no capabilities, no way to more of either, a root that cannot be written."""
    security = linux(
        run_as_user=cri.Int64Value(value=1000),
        run_as_group=cri.Int64Value(value=3000),
        supplemental_groups=[2000, 4000],
        no_new_privs=True,
        readonly_rootfs=True,
        capabilities=cri.Capability(drop_capabilities=["ALL"]),
    )
    script = (
        "id -u; id -g; id -G; grep -E '^(Cap(Prm|Eff|Bnd)|NoNewPrivs)' /proc/self/status; touch /x 2>&1 | tail -c 22"
    )
    told = (await lab.output(await lab.sandbox("web"), "app", script, linux=security)).split()
    none = "0000000000000000"
    assert told[:5] == ["1000", "3000", "3000", "2000", "4000"]
    assert told[5:13] == ["CapPrm:", none, "CapEff:", none, "CapBnd:", none, "NoNewPrivs:", "1"]
    assert told[13:] == ["Read-only", "file", "system"]


async def test_capabilities_added_and_dropped(lab: Lab) -> None:
    sandbox = await lab.sandbox("web")
    script = "ip link set eth0 mtu 1400 && echo set; chown 1 /tmp 2>/dev/null || echo kept"
    capability = cri.Capability(add_capabilities=["NET_ADMIN"], drop_capabilities=["CHOWN"])
    assert await lab.output(sandbox, "app", script, linux=linux(capabilities=capability)) == "set\nkept\n"
    with pytest.raises(grpc.aio.AioRpcError, match=r'failed to create container .*unknown capability "NET_ADMN"'):
        await lab.create(
            sandbox, "typo", ["true"], linux=linux(capabilities=cri.Capability(drop_capabilities=["NET_ADMN"]))
        )


async def sandbox_with(lab: Lab, name: str, sysctls: dict[str, str], *, host_network: bool = False) -> str:
    config = lab.sandbox_config(name)
    config.linux.sysctls.update(sysctls)
    if host_network:
        config.linux.security_context.namespace_options.network = cri.NODE
    answer = await lab.runtime.RunPodSandbox(cri.RunPodSandboxRequest(config=config), timeout=SECONDS)
    return answer.pod_sandbox_id


async def test_sysctls_of_a_pod_are_its_own(lab: Lab) -> None:
    sandbox = await sandbox_with(lab, "web", {"net.ipv4.ip_unprivileged_port_start": "80", "kernel.shmmni": "77"})
    script = "cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/shmmni"
    assert await lab.output(sandbox, "app", script) == "80\n77\n"
    assert Path("/proc/sys/kernel/shmmni").read_text() != "77\n"


@pytest.mark.parametrize(
    ("sysctl", "host_network", "told"),
    [
        ("kernel.hostname", False, "not in a separate kernel namespace"),
        ("vm.swappiness", False, "not in a separate kernel namespace"),
        ("net.ipv4.ip_forward", True, "not in a separate kernel namespace"),
        ("net.ipv4.no_such", False, "sysctl net.ipv4.no_such=1: No such file or directory"),
    ],
)
async def test_sysctls_of_the_machine_are_not_the_pods(lab: Lab, sysctl: str, host_network: bool, told: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError, match=told):
        await sandbox_with(lab, "web", {sysctl: "1"}, host_network=host_network)
    assert [*(lab.state / "sandboxes").iterdir()] == []


async def test_a_hosts_file_of_the_kubelets_goes_over_the_runtimes(lab: Lab) -> None:
    path = lab.folder / "etc-hosts"
    path.write_text("10.1.2.3\tdb-0.db.default.svc.cluster.local\tweb\n")
    mount = cri.Mount(container_path="/etc/hosts", host_path=str(path))
    told = await lab.output(await lab.sandbox("web"), "app", "cat /etc/hosts; hostname -f", mounts=[mount])
    assert told == "10.1.2.3\tdb-0.db.default.svc.cluster.local\tweb\ndb-0.db.default.svc.cluster.local\n"


async def test_the_user_of_an_image_is_told_as_a_number_or_a_name(lab: Lab) -> None:
    await lab.build("FROM host\nUSER 33:34\n", "number")
    await lab.build("FROM host\nUSER www-data\n", "name")
    found: list[tuple[int, str]] = []
    for image in ("app", "number", "name"):
        request = cri.ImageStatusRequest(image=cri.ImageSpec(image=image))
        status = (await lab.images.ImageStatus(request, timeout=SECONDS)).image
        found.append((status.uid.value, status.username))
    assert found == [(0, ""), (33, ""), (0, "www-data")]

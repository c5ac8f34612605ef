"""The machine as a base image: what a pod sees of it, what it can change, and what not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from kubelab.cri.runtime.v1 import api_pb2 as cri
from tests.integration.runtime.conftest import running
from tests.integration.runtime.lab import Lab

pytestmark = pytest.mark.root

# Another cluster's folder under /opt, a user's program, a tool; what root alone may read differs in how it says so.
MACHINE = """
mount -t tmpfs machine /opt
mkdir -p /opt/lab/pki /opt/tool/bin /opt/shared
printf key > /opt/lab/pki/ca.key; chmod 600 /opt/lab/pki/ca.key
printf key > /opt/lab/other.key; chmod 640 /opt/lab/other.key
printf key > /opt/lab/pki/node.key; chmod 644 /opt/lab/pki/node.key; chmod 700 /opt/lab/pki
printf '#!/bin/sh\\necho tool\\n' > /opt/tool/bin/tool; chmod 755 /opt/tool/bin/tool
"""
SECRETS = "/opt/lab/pki/ca.key /opt/lab/other.key /opt/lab/pki/node.key /opt/later"


@pytest.fixture
async def machine() -> AsyncIterator[Lab]:
    async with running(mounts=MACHINE) as node:
        yield node


def secured(**more: Any) -> dict[str, Any]:
    security = cri.LinuxContainerSecurityContext(**more)
    return {"linux": cri.LinuxContainerConfig(security_context=security)}


@pytest.mark.parametrize("privileged", [False, True])
async def test_what_only_root_may_read_no_pod_reads(machine: Lab, privileged: bool) -> None:
    sandbox = await machine.sandbox("web")
    machine.on_machine("printf key > /opt/later; chmod 600 /opt/later")  # after the runtime began
    tries = (
        f"for f in {SECRETS}; do cat $f; cp $f /tmp/stolen; mv $f /opt/moved; ln $f /tmp/linked; chmod 644 $f; cat $f; "
        "chown 1 $f; dd if=$f; done; ls /opt/lab/pki; cat /opt/moved /tmp/stolen /tmp/linked; "
        "chmod 755 /opt/lab/pki; cat /opt/lab/pki/*"
    )
    seen = await machine.output(sandbox, "look", f"({tries}) 2>/dev/null; true", **secured(privileged=privileged))
    assert seen == ""
    assert machine.on_machine(f"stat -c '%a %s %u' {SECRETS} /opt/lab/pki") == (
        "600 3 0\n640 3 0\n644 3 0\n600 3 0\n700 80 0\n"
    )


async def test_what_everybody_may_use_a_pod_uses_and_changes_for_itself(machine: Lab) -> None:
    sandbox = await machine.sandbox("web")
    script = (
        "cd /opt; tool/bin/tool; echo more >> tool/bin/tool; tail -1 tool/bin/tool; mv tool/bin/tool x; rm -r tool; "
        "ls; touch /usr/bin/new /usr/local/new; chmod 600 /usr/bin/env; rm /usr/bin/sh; ls /usr/bin/sh"
    )
    seen = await machine.output(sandbox, "use", f"({script}) 2>&1; true")
    assert seen == "tool\nmore\nlab\nshared\nx\nls: cannot access '/usr/bin/sh': No such file or directory\n"
    assert machine.on_machine("/opt/tool/bin/tool; ls /usr/bin/new /usr/local/new 2>&1 | wc -l") == "tool\n2\n"


@pytest.mark.parametrize("privileged", [False, True])
async def test_a_root_that_is_read_only_is_so_everywhere(machine: Lab, privileged: bool) -> None:
    sandbox = await machine.sandbox("web")
    places = "/ /usr /usr/bin /usr/local /opt /opt/shared /etc /var /tmp"
    volume = machine.folder / "volume"
    volume.mkdir()
    mounts = [cri.Mount(container_path="/opt/shared/new/data", host_path=str(volume))]
    seen = await machine.output(
        sandbox,
        "write",
        f"for d in {places}; do touch $d/x 2>/dev/null && echo $d; done; touch /opt/shared/new/data/x; "
        "rm /opt/tool/bin/tool 2>/dev/null; /opt/tool/bin/tool",
        mounts=mounts,
        **secured(readonly_rootfs=True, privileged=privileged),
    )
    assert seen == "tool\n"
    assert (volume / "x").exists()


async def test_a_step_of_a_build_sees_no_more_and_keeps_what_it_writes(machine: Lab) -> None:
    script = f"cat {SECRETS} 2>/dev/null; cp /opt/tool/bin/tool /usr/local/bin/mine; rm -r /opt/tool; echo end"
    lines = await machine.build(f"FROM host\nRUN {script}\n", "built")
    assert [line for line in lines if line in ("key", "end")] == ["end"]
    seen = await machine.output(await machine.sandbox("web"), "look", "mine; ls /opt", "built")
    assert seen == "tool\nlab\nshared\n"


async def test_where_the_folders_lie_on_an_overlay_what_is_private_is_masked() -> None:
    """As in a container: the kernel stacks two overlays, and the pod's root is one."""
    stacked = (
        "mkdir /opt/up /opt/work /opt/low; mv /opt/lab /opt/tool /opt/low\n"
        "mount -t overlay overlay -o lowerdir=/opt/low,upperdir=/opt/up,workdir=/opt/work /opt\n"
    )
    async with running(mounts=MACHINE + stacked) as node:
        assert "masked one by one" in node.log
        sandbox = await node.sandbox("web")
        script = f"cat {SECRETS} /opt/lab/pki/* 2>/dev/null; /opt/tool/bin/tool"
        assert await node.output(sandbox, "look", script, **secured(privileged=True)) == "tool\n"

"""``python -m kubelab.scheduler`` and ``python -m kubelab.controllermanager`` as what they are: processes."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pytest
import yaml

from kubelab.api.coordination.v1 import coordination_pb2
from kubelab.apimachinery.scheme import LEASES, Resource
from kubelab.client.client import Client
from tests.support.pki import TestAuthority


class Plane(Protocol):
    """The fixture's class, as far as it is used here."""

    admin: Client
    authority: TestAuthority
    port: int

    async def until(
        self,
        resource: Resource[coordination_pb2.Lease],
        condition: Callable[[list[coordination_pb2.Lease]], object],
        namespace: str = ...,
    ) -> None: ...


def config_of(plane: Plane, component: str, user: str, folder: Path) -> Path:
    """Write what the supervisor would write for a component."""
    files = plane.authority.issue(user)
    kubeconfig = folder / "kubeconfig"
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": "c",
                "cluster": {"server": f"https://127.0.0.1:{plane.port}", "certificate-authority": str(files.ca)},
            }
        ],
        "users": [{"name": "u", "user": {"client-certificate": str(files.certificate), "client-key": str(files.key)}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    kubeconfig.write_text(yaml.safe_dump(document))
    config = folder / "config.yaml"
    settings = {
        "name": f"{component}@cp-1",
        "kubeconfig": str(kubeconfig),
        "bindAddress": "127.0.0.1:0",
        "metricsAddress": "",
        "tls": {"ca": str(files.ca), "certificate": str(files.certificate), "key": str(files.key)},
        "leaderElection": {"leaseDuration": 3, "renewDeadline": 2, "retryPeriod": 0.2},
    }
    config.write_text(yaml.safe_dump(settings))
    return config


@pytest.mark.parametrize(
    ("module", "component", "lease"),
    [
        ("kubelab.scheduler", "scheduler", "kube-scheduler"),
        ("kubelab.controllermanager", "controller-manager", "kube-controller-manager"),
    ],
)
async def test_a_process_leads_until_it_is_told_to_stop(
    plane: Plane, module: str, component: str, lease: str, tmp_path: Path
) -> None:
    config = config_of(plane, component, f"system:{lease}", tmp_path)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, "--config", str(config), stderr=asyncio.subprocess.PIPE
    )

    def holder(leases: list[coordination_pb2.Lease]) -> str | None:
        return next((found.spec.holderIdentity for found in leases if found.metadata.name == lease), None)

    try:
        await plane.until(LEASES, lambda leases: holder(leases) == f"{component}@cp-1", "kube-system")
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(10):
            _, log = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, log.decode()
    assert holder((await plane.admin.list(LEASES, "kube-system")).items) == ""  # the next one need not wait
    assert b"Traceback" not in log


async def test_a_wrong_configuration_names_the_key_and_ends_with_1(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("clusterCidr: nonsense\nkubeconfig: /nowhere\nnodeLifecycle: {gracePeriod: 3}\n")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "kubelab.controllermanager",
        "--config",
        str(config),
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(20):
        _, log = await process.communicate()
    assert process.returncode == 1
    assert b"unknown key 'nodeLifecycle.gracePeriod'" in log

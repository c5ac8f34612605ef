"""``get componentstatuses``: the real health of the control plane, asked for at each request."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2_grpc

from kubelab.apimachinery import errors
from kubelab.apimachinery.scheme import COMPONENT_STATUSES
from kubelab.apiserver.config import ApiServerConfig, EtcdConfig
from kubelab.apiserver.controlplane.componenthealth import ComponentHealth
from kubelab.component.serving import Health
from kubelab.rpc import warnings
from tests.support.apiserver import ApiServerInMemory
from tests.unit.kctl.conftest import Shell, shell

__all__ = ["shell"]


@contextlib.asynccontextmanager
async def answering(*, serving: bool) -> AsyncGenerator[str]:
    """A component that answers the health service; gives its address."""
    health, server = Health(), grpc.aio.server()
    await health.set_serving(serving)
    add: Any = health_pb2_grpc.add_HealthServicer_to_server
    add(health.servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


async def test_each_component_is_asked() -> None:
    async with answering(serving=True) as scheduler, answering(serving=False) as manager:
        async with answering(serving=True) as gone:
            pass
        config = ApiServerConfig(
            scheduler_address=scheduler, controller_manager_address=manager, etcd=EtcdConfig(servers=[scheduler, gone])
        )
        statuses = await ComponentHealth(config, "api-server@cp-1")()
    said: dict[str, tuple[str, str]] = {}
    for status in statuses:
        condition = status.conditions[0]
        said[status.metadata.name] = (condition.status, condition.message)
    assert said["scheduler"] == ("True", "ok")
    assert said["controller-manager"] == ("False", f"{manager}: NOT_SERVING")
    assert said["etcd-0"] == ("True", "ok")
    assert said["etcd-1"][0] == "False"
    assert said["etcd-1"][1].startswith(f"{gone}: ")


async def test_reads_warn_of_what_is_deprecated() -> None:
    server, heard = ApiServerInMemory(), list[str]()
    async with server.client() as client:
        with warnings.listening(heard.append):
            assert len((await client.list(COMPONENT_STATUSES)).items) == 3
            assert (await client.get(COMPONENT_STATUSES, "etcd-0")).metadata.name == "etcd-0"
        assert heard == ["v1 ComponentStatus is deprecated in v1.19+"] * 2
        with pytest.raises(errors.NotFound, match="Component not found: nothing"):
            await client.get(COMPONENT_STATUSES, "nothing")


def test_get_cs(shell: Shell) -> None:
    typed = shell("get", "cs")
    assert typed.stderr == "Warning: v1 ComponentStatus is deprecated in v1.19+\n"
    title, *rows = typed.stdout.splitlines()
    assert title.split() == ["NAME", "STATUS", "MESSAGE", "ERROR"]
    assert [row.split()[:2] for row in rows] == [
        ["controller-manager", "Unhealthy"],  # nothing answers where a test has no control plane
        ["scheduler", "Unhealthy"],
        ["etcd-0", "Unhealthy"],
    ]
    assert shell("get", "cs", "scheduler", "-o", "name").stdout == "componentstatus/scheduler\n"

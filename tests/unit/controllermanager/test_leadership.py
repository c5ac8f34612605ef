"""A leader that stops, in a whole controller-manager over an api-server in memory."""

from __future__ import annotations

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery.scheme import (
    ENDPOINTS,
    PODS,
)
from tests.support import objects as make
from tests.support.apiserver import ApiServerInMemory
from tests.unit.controllermanager.conftest import Run
from tests.unit.controllermanager.objects import pods, run_all, status


async def test_a_leader_that_stops_in_the_middle_leaves_nothing_undone(running: Run) -> None:
    server = ApiServerInMemory()
    server.add(make.replication_controller("web", replicas=12), make.service("web"))
    for _ in range(4):
        async with running(server, elect=True):
            before = len(server.calls_of("create", PODS))
            await server.until(lambda before=before: len(server.calls_of("create", PODS)) > before or before >= 12)
    async with running(server, elect=True):
        await server.until(lambda: status(server).replicas == 12)
        run_all(server)
        await server.until(lambda: status(server).readyReplicas == 12)
        await server.until(lambda: len((server.get(ENDPOINTS, "default/web") or core_pb2.Endpoints()).subsets) == 1)
    assert len(pods(server)) == 12

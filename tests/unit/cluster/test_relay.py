"""A socket behind a command's standard streams: slow to start, several at once, and nothing left at the end."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer

from kubelab.cluster.relay import Relays

SLOW = "import sys, time, runpy; sys.argv[1:] = ['--relay', sys.argv[1]]; import select; select.select([], [], [], 2);"
RUN = "runpy.run_module('kubelab.nodeagent', run_name='__main__')"


@pytest.fixture
async def served() -> AsyncIterator[Path]:
    with tempfile.TemporaryDirectory(prefix="kl-") as folder:
        server = grpc.aio.server()
        health_pb2_grpc.add_HealthServicer_to_server(HealthServicer(), server)
        server.add_insecure_port(f"unix:{folder}/s.sock")
        await server.start()
        yield Path(folder) / "s.sock"
        await server.stop(0)


async def test_calls_go_through_a_command_that_takes_its_time(served: Path) -> None:
    relays = Relays(os.environ)
    try:
        channel = relays.channel((sys.executable, "-c", SLOW + RUN, str(served)))
        stub: Any = health_pb2_grpc.HealthStub(channel)
        for _ in range(3):
            answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=20)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        again = relays.channel((sys.executable, "-c", SLOW + RUN, str(served)))
        second: Any = health_pb2_grpc.HealthStub(again)
        await second.Check(health_pb2.HealthCheckRequest(), timeout=20)
        folder = relays.folder
        await channel.close()
        await again.close()
    finally:
        relays.close()
    assert folder is not None
    assert not folder.exists()


async def test_nobody_behind_it_is_unavailable(tmp_path: Path) -> None:
    relays = Relays(os.environ)
    try:
        channel = relays.channel((sys.executable, "-m", "kubelab.nodeagent", "--relay", str(tmp_path / "none.sock")))
        stub: Any = health_pb2_grpc.HealthStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await stub.Check(health_pb2.HealthCheckRequest(), timeout=20)
        assert failed.value.code() is grpc.StatusCode.UNAVAILABLE
        await channel.close()
    finally:
        relays.close()

"""A component's own server: whose options count, and what a load balancer is told."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client import CollectorRegistry

from kubelab.apimachinery.clock import SystemClock
from kubelab.component.scraping import serve_metrics
from kubelab.component.serving import Health, serve_grpc


async def test_a_component_s_options_win_over_everybody_s(tmp_path: Path) -> None:
    address = f"unix:{tmp_path}/s"
    small = [("grpc.max_receive_message_length", 100)]
    async with (
        serve_grpc(address, [], tls=None, health=Health(), options=small),
        grpc.aio.insecure_channel(address) as channel,
    ):
        stub: Any = health_pb2_grpc.HealthStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as told:
            await stub.Check(health_pb2.HealthCheckRequest(service="x" * 200), timeout=10)
    assert told.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_readiness_follows_the_health_service_and_life_does_not() -> None:
    health = Health()
    port = free_port()
    async with serve_metrics(f"127.0.0.1:{port}", CollectorRegistry(), SystemClock(), ready=lambda: health.serving):
        assert await _status(port, "/livez") == 200
        assert await _status(port, "/readyz") == 503
        await health.set_serving()
        assert await _status(port, "/readyz") == 200
        await health.set_serving(False, "a.part.of.it")
        assert await _status(port, "/readyz") == 200
        await health.set_serving(False)
        assert await _status(port, "/readyz") == 503
        assert await _status(port, "/livez") == 200


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def _status(port: int, path: str) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.0\r\n\r\n".encode())
    status = int((await reader.readline()).split()[1])
    await reader.read()
    writer.close()
    return status

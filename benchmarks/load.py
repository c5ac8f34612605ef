"""Load on an api-server, from inside the cluster's network: run by the benchmarks in a node's namespace.

usage: python -m benchmarks.load KUBECONFIG creates|gets|list|latency|bare CLIENTS COUNT

Prints one JSON object.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import grpc

from benchmarks.echo import METHOD
from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery.scheme import PODS, pack
from kubelab.client.client import Client
from kubelab.client.kubeconfig import Kubeconfig
from kubelab.rpc.apiserver.v1 import apiserver_pb2 as pb
from kubelab.rpc.channels import TLSIdentity, open_channel
from tests.support.pki import TestAuthority

IMAGE = "kubelab/hello:v-1.0.0"
MAX_CONNECTIONS = 8
WARM_UP = 100  # calls
_RESOURCES = "/kubelab.rpc.apiserver.v1.Resources/"


def pod(name: str, *, scheduled: bool) -> core_pb2.Pod:
    """A pod that runs, or one that no scheduler feels responsible for: then only the api-server and etcd work."""
    result = core_pb2.Pod()
    result.metadata.name = name
    result.metadata.labels["bench"] = "yes"
    result.spec.containers.add(name="app", image=IMAGE)
    if not scheduled:
        result.spec.schedulerName = "nobody"
    result.spec.terminationGracePeriodSeconds = 0
    return result


class Wire:
    """Connections that carry requests made beforehand: what is measured is the server, not the making of messages."""

    def __init__(self, server: str, identity: TLSIdentity, connections: int) -> None:
        apart = (("grpc.use_local_subchannel_pool", 1),)  # else channels to one server share one connection
        self._channels = [open_channel(server, identity, options=apart) for _ in range(connections)]

    @classmethod
    def to_api_server(cls, kubeconfig: str, connections: int) -> Wire:
        access = Kubeconfig.load(Path(kubeconfig)).access()
        return cls(access.servers[0], TLSIdentity(access.ca, access.certificate, access.key), connections)

    def calls(self, method: str) -> list[grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]]:
        """The method on each connection: bytes in, bytes out."""
        return [channel.unary_unary(method) for channel in self._channels]

    def streams(self, method: str) -> list[grpc.aio.UnaryStreamMultiCallable[bytes, bytes]]:
        """The same for a method that answers more than once."""
        return [channel.unary_stream(method) for channel in self._channels]

    async def close(self) -> None:
        for channel in self._channels:
            await channel.close()


def path(name: str) -> pb.ResourcePath:
    return pb.ResourcePath(version="v1", resource="pods", namespace="default", name=name)


async def creates(client: Client, kubeconfig: str, clients: int, count: int) -> dict[str, float]:
    """Creates per second: each of ``clients`` sends one after the other, on at most eight connections."""
    mould = f"load-{time.time_ns() % 10**9:09d}-"
    blank = "#" * 6
    request = pb.CreateRequest(path=path(""), object=pack(pod(mould + blank, scheduled=False))).SerializeToString()
    wire = Wire.to_api_server(kubeconfig, min(clients, MAX_CONNECTIONS))

    def of(number: int, n: int) -> bytes:
        name = f"{number * (count // clients) + n:06d}"
        return request.replace(blank.encode(), name.encode())

    rate = await _rate(wire.calls(_RESOURCES + "Create"), of, clients, count)
    await wire.close()
    return {"per_second": rate}


async def _rate(
    calls: Sequence[grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]],
    request: Callable[[int, int], bytes],
    clients: int,
    count: int,
) -> float:
    """Calls per second of ``clients`` that send one after the other."""

    async def one(number: int) -> None:
        for n in range(count // clients):
            await calls[number % len(calls)](request(number, n), timeout=30)

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(clients):
            group.create_task(one(number))
    return count // clients * clients / (time.perf_counter() - began)


async def _latency(call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes], request: bytes, count: int) -> list[float]:
    """Milliseconds of one call after the other."""
    took: list[float] = []
    for _ in range(count):
        began = time.perf_counter()
        await call(request, timeout=30)
        took.append(1000 * (time.perf_counter() - began))
    return took


async def gets(client: Client, kubeconfig: str, clients: int, count: int) -> dict[str, float]:
    """The latency of one get after the other, in milliseconds."""
    await client.create(pod("read-me", scheduled=False), "default")
    wire = Wire.to_api_server(kubeconfig, 1)
    (call,) = wire.calls(_RESOURCES + "Get")
    took = await _latency(call, pb.GetRequest(path=path("read-me")).SerializeToString(), count)
    await wire.close()
    await client.delete(PODS, "read-me", "default", grace_period_seconds=0)
    return {"p50": statistics.median(took), "p99": statistics.quantiles(took, n=100)[98]}


async def bare(client: Client, kubeconfig: str, clients: int, count: int) -> dict[str, float]:
    """What a call costs when nothing is done for it: the latency of one client, and the rate of ``clients``."""
    with tempfile.TemporaryDirectory() as folder:
        files = TestAuthority(Path(folder)).issue("echo")
        echo = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "benchmarks.echo", folder,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert echo.stdin is not None
        assert echo.stdout is not None
        port = int(await echo.stdout.readline())
        identity = TLSIdentity.from_files(files.ca, files.certificate, files.key)
        wire = Wire(f"127.0.0.1:{port}", identity, min(clients, MAX_CONNECTIONS))
        calls = wire.calls(METHOD)
        body = pod("x" * 6, scheduled=False).SerializeToString()
        await _latency(calls[0], body, WARM_UP)
        took = await _latency(calls[0], body, count)
        rate = await _rate(calls, lambda number, n: body, clients, 4 * count)
        await wire.close()
        echo.stdin.close()
        await echo.wait()
    return {"p50": statistics.median(took), "per_second": rate}


async def listing(client: Client, kubeconfig: str, clients: int, count: int) -> dict[str, float]:
    """One list of all pods there are, in milliseconds; the median of five, and how many there were."""
    took: list[float] = []
    items = 0
    for _ in range(5):
        began = time.perf_counter()
        found = await client.list(PODS, "default")
        took.append(1000 * (time.perf_counter() - began))
        items = len(found.items)
    return {"ms": statistics.median(took), "items": items}


async def clean(client: Client, kubeconfig: str, clients: int, count: int) -> dict[str, float]:
    """Remove what creates left."""
    await client.delete_collection(PODS, "default", label_selector="bench=yes", grace_period_seconds=0)
    return {}


async def latency(client: Client, kubeconfig: str, clients: int, count: int) -> dict[str, float]:
    """Milliseconds from sending the create to seeing the pod Running, one pod after the other."""
    took: list[float] = []
    for n in range(count):
        name = f"quick-{n}"
        revision = (await client.list(PODS, "default", limit=1)).resource_version
        began = time.perf_counter()
        await client.create(pod(name, scheduled=True), "default")
        async for event in client.watch(
            PODS, "default", resource_version=revision, field_selector=f"metadata.name={name}"
        ):
            if event.object is not None and event.object.status.phase == "Running":
                break
        took.append(1000 * (time.perf_counter() - began))
        await client.delete(PODS, name, "default", grace_period_seconds=0)
    return {"p50": statistics.median(took), "p99": max(took)}


WORK = {"creates": creates, "gets": gets, "list": listing, "clean": clean, "latency": latency, "bare": bare}


async def main(kubeconfig: str, work: str, clients: str, count: str) -> None:
    async with Client.from_kubeconfig(kubeconfig, caller="bench") as client:
        print(json.dumps(await WORK[work](client, kubeconfig, int(clients), int(count))))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

"""Load on an api-server, from inside the cluster's network: run by the benchmarks in a node's namespace.

usage: python -m benchmarks.load KUBECONFIG creates|gets|list|latency CLIENTS COUNT

Prints one JSON object.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from pathlib import Path

import grpc

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery.scheme import PODS, pack
from kubelab.apiserver.v1 import apiserver_pb2 as pb
from kubelab.client.channels import Identity, secure_channel
from kubelab.client.client import Client
from kubelab.client.kubeconfig import Kubeconfig

IMAGE = "kubelab/hello:v-1.0.0"


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

    def __init__(self, kubeconfig: str, connections: int) -> None:
        access = Kubeconfig.load(Path(kubeconfig)).access()
        identity = Identity(access.ca, access.certificate, access.key)
        apart = (("grpc.use_local_subchannel_pool", 1),)  # else channels to one server share one connection
        self._channels = [secure_channel(access.servers[0], identity, options=apart) for _ in range(connections)]

    def calls(self, method: str) -> list[grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]]:
        """The method on each connection: bytes in, bytes out."""
        return [channel.unary_unary(f"/kubelab.apiserver.v1.Resources/{method}") for channel in self._channels]

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
    wire = Wire(kubeconfig, min(clients, 8))
    calls = wire.calls("Create")

    async def one(number: int) -> None:
        for n in range(count // clients):
            name = f"{number * 100_000 + n:06d}"[-6:] if clients == 1 else f"{number:02d}{n:04d}"
            await calls[number % len(calls)](request.replace(blank.encode(), name.encode()), timeout=30)

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(clients):
            group.create_task(one(number))
    seconds = time.perf_counter() - began
    await wire.close()
    return {"per_second": count // clients * clients / seconds}


async def gets(client: Client, kubeconfig: str, clients: int, count: int) -> dict[str, float]:
    """The latency of one get after the other, in milliseconds."""
    await client.create(pod("read-me", scheduled=False), "default")
    wire = Wire(kubeconfig, 1)
    (call,) = wire.calls("Get")
    request = pb.GetRequest(path=path("read-me")).SerializeToString()
    took: list[float] = []
    for _ in range(count):
        began = time.perf_counter()
        await call(request, timeout=30)
        took.append(1000 * (time.perf_counter() - began))
    await wire.close()
    await client.delete(PODS, "read-me", "default", grace_period_seconds=0)
    return {"p50": statistics.median(took), "p99": statistics.quantiles(took, n=100)[98]}


async def listing(client: Client, kubeconfig: str, clients: int, count: int) -> dict[str, float]:
    """One list of all pods there are, in milliseconds; the best of a few, and how many there were."""
    best, items = float("inf"), 0
    for _ in range(5):
        began = time.perf_counter()
        found = await client.list(PODS, "default")
        best, items = min(best, 1000 * (time.perf_counter() - began)), len(found.items)
    return {"ms": best, "items": items}


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


WORK = {"creates": creates, "gets": gets, "list": listing, "clean": clean, "latency": latency}


async def main(kubeconfig: str, work: str, clients: str, count: str) -> None:
    async with Client.from_kubeconfig(kubeconfig, caller="bench") as client:
        print(json.dumps(await WORK[work](client, kubeconfig, int(clients), int(count))))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

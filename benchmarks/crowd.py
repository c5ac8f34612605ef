"""A crowd for an api-server: many watchers, pods, nodes and endpoints. Run by the benchmarks in a node's namespace.

usage: python -m benchmarks.crowd KUBECONFIG
  watchers|fill|nodes|replicas|replica-set|rollover|queue[-affinity|-spread]|placed[-affinity|-spread]|endpoints|change
  COUNT

Prints one JSON object.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import statistics
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from functools import partial

from google.protobuf.message import Message

from benchmarks.load import MAX_CONNECTIONS, Wire, pod
from kubelab.api.apps.v1 import apps_pb2
from kubelab.api.core.v1 import core_pb2
from kubelab.api.discovery.v1 import discovery_pb2
from kubelab.apimachinery.apps.deployments import is_complete
from kubelab.apimachinery.core.pods import is_ready
from kubelab.apimachinery.errors import Conflict, NotFound
from kubelab.apimachinery.meta import is_terminating
from kubelab.apimachinery.scheme import (
    DEPLOYMENTS,
    ENDPOINT_SLICES,
    NODES,
    PODS,
    REPLICA_SETS,
    REPLICATION_CONTROLLERS,
    Resource,
)
from kubelab.client.client import Client, EventType
from kubelab.rpc.apiserver.v1 import apiserver_pb2 as pb

ROUNDS = 10
AT_ONCE = 64  # requests
HOLLOW = {"bench": "hollow"}  # the label of nodes that nobody lives on, and the selector of pods that may go there
HOSTNAME, ZONE = "kubernetes.io/hostname", "topology.kubernetes.io/zone"
ZONES = 3
APPLICATIONS = 5  # whose pods want to be together, or apart
ADDRESSES = 10  # of each service
PATIENCE_SECONDS = 100.0


async def watchers(client: Client, kubeconfig: str, count: int) -> dict[str, float]:
    """Milliseconds from sending a write to its event having reached so many watchers; the median of ten."""
    wire = Wire.to_api_server(kubeconfig, MAX_CONNECTIONS)
    opened = wire.streams("/kubelab.rpc.apiserver.v1.Resources/Watch")
    listed = await client.list(NODES, limit=1)
    request = pb.WatchRequest(path=pb.ResourcePath(version="v1", resource="configmaps", namespace="default"))
    request.options.resourceVersion = listed.resource_version
    calls = [opened[n % len(opened)](request.SerializeToString()) for n in range(count)]
    written = core_pb2.ConfigMap()
    written.metadata.name = f"watched-{time.time_ns()}"
    written = await client.create(written, "default")
    await asyncio.gather(*[call.read() for call in calls])
    took: list[float] = []
    for n in range(ROUNDS):
        written.data["round"] = str(n)
        began = time.perf_counter()
        heard = [asyncio.ensure_future(call.read()) for call in calls]
        written = await client.update(written)
        await asyncio.gather(*heard)
        took.append(1000 * (time.perf_counter() - began))
    for call in calls:
        call.cancel()
    await wire.close()
    return {"ms": statistics.median(took)}


async def fill(client: Client, kubeconfig: str, count: int) -> dict[str, float]:
    """Create so many pods that nobody schedules."""
    await _together(lambda n: client.create(pod(f"fill-{n}", scheduled=False), "default"), count)
    return {}


async def nodes(client: Client, kubeconfig: str, count: int) -> dict[str, float]:
    """Create nodes that say they are ready; nobody lives there, so what is bound to them stays Pending."""

    async def one(n: int) -> None:
        node = core_pb2.Node()
        node.metadata.name = f"hollow-{n}"
        node.metadata.labels.update(HOLLOW)
        node.metadata.labels.update({HOSTNAME: node.metadata.name, ZONE: f"zone-{n % ZONES}"})
        for resources in (node.status.capacity, node.status.allocatable):
            for name, quantity in (("cpu", "32"), ("memory", "256Gi"), ("pods", "110")):
                resources[name].string = quantity
        node.status.conditions.add(type="Ready", status="True", reason="KubeletReady")
        await client.create(node)

    await _together(one, count)
    return {}


async def replicas(client: Client, kubeconfig: str, count: int) -> dict[str, float]:
    """Seconds from creating a replication controller to all of its pods being bound."""
    rc = core_pb2.ReplicationController()
    rc.metadata.name = "crowd"
    rc.spec.replicas = count
    rc.spec.selector["crowd"] = "yes"
    _crowd_template(rc.spec.template, "crowd")
    return await _created_and_bound(client, REPLICATION_CONTROLLERS, rc, "crowd=yes", count)


async def replica_set(client: Client, kubeconfig: str, count: int) -> dict[str, float]:
    """The same of a ReplicaSet."""
    rs = apps_pb2.ReplicaSet()
    rs.metadata.name = "crowd"
    rs.spec.replicas = count
    rs.spec.selector.matchLabels["set"] = "yes"
    _crowd_template(rs.spec.template, "set")
    return await _created_and_bound(client, REPLICA_SETS, rs, "set=yes", count)


def _crowd_template(template: core_pb2.PodTemplateSpec, label: str) -> None:
    template.metadata.labels[label] = "yes"
    template.spec.CopyFrom(pod("x", scheduled=True).spec)
    template.spec.nodeSelector.update(HOLLOW)


async def _created_and_bound(
    client: Client, resource: Resource[Message], obj: Message, selector: str, count: int
) -> dict[str, float]:
    async with _bound(client, selector, count) as times:
        began = time.perf_counter()
        await client.create(obj, "default")
        await times
    took = time.perf_counter() - began
    await client.delete(resource, "crowd", "default", propagation_policy="Background")
    return {"seconds": took}


async def rollover(client: Client, kubeconfig: str, count: int) -> dict[str, float]:
    """Seconds from a Deployment's new image to its rollout being complete; its pods are ready as soon as they are
    bound, and gone as soon as they are deleted."""
    made = apps_pb2.Deployment()
    made.metadata.name = "crowd"
    made.spec.replicas = count
    made.spec.selector.matchLabels["rolled"] = "yes"
    _crowd_template(made.spec.template, "rolled")
    async with asyncio.TaskGroup() as group:
        kubelet = group.create_task(_hollow_kubelet(client, "rolled=yes"))
        await client.create(made, "default")
        await _complete(client)
        changed = await client.get(DEPLOYMENTS, "crowd", "default")
        changed.spec.template.spec.containers[0].image = "host:2"
        began = time.perf_counter()
        await client.update(changed)
        await _complete(client)
        took = time.perf_counter() - began
        kubelet.cancel()
    await client.delete(DEPLOYMENTS, "crowd", "default", propagation_policy="Background")
    return {"seconds": took}


async def _complete(client: Client) -> None:
    listed = await client.list(DEPLOYMENTS, "default")
    async with asyncio.timeout(PATIENCE_SECONDS):
        async for event in client.watch(DEPLOYMENTS, "default", resource_version=listed.resource_version):
            found = event.object
            if found is not None and is_complete(found, found.status):
                return


async def _hollow_kubelet(client: Client, selector: str) -> None:
    """Do the kubelet's part for pods on hollow nodes."""
    listed = await client.list(PODS, "default", label_selector=selector)
    async with asyncio.TaskGroup() as group:
        async for event in client.watch(
            PODS, "default", resource_version=listed.resource_version, label_selector=selector
        ):
            if event.object is not None and event.type is not EventType.DELETED and event.object.spec.nodeName:
                group.create_task(_serve(client, event.object))


async def _serve(client: Client, bound: core_pb2.Pod) -> None:
    with contextlib.suppress(NotFound, Conflict):  # it changed meanwhile: another event tells of it
        if is_terminating(bound):
            await client.delete(PODS, bound.metadata.name, "default", grace_period_seconds=0)
        elif not is_ready(bound):
            bound.status.phase = "Running"
            bound.status.conditions.add(type="Ready", status="True")
            await client.update_status(bound)


async def queue(client: Client, kubeconfig: str, count: int) -> dict[str, float]:
    """Create so many pods for the scheduler."""
    return await _queue(client, "plain", count, lambda wanted, application: None)


async def queue_affinity(client: Client, kubeconfig: str, count: int) -> dict[str, float]:
    """The same of pods that must be in a zone with their application, and would rather be on different nodes."""

    def near(wanted: core_pb2.Pod, application: str) -> None:
        affinity = wanted.spec.affinity
        term = affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution.add(topologyKey=ZONE)
        term.labelSelector.matchLabels["application"] = application
        apart = affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution.add(weight=10)
        apart.podAffinityTerm.topologyKey = HOSTNAME
        apart.podAffinityTerm.labelSelector.matchLabels["application"] = application

    return await _queue(client, "affinity", count, near)


async def queue_spread(client: Client, kubeconfig: str, count: int) -> dict[str, float]:
    """The same of pods that must lie evenly over zones and nodes."""

    def even(wanted: core_pb2.Pod, application: str) -> None:
        for key in (ZONE, HOSTNAME):
            constraint = wanted.spec.topologySpreadConstraints.add(
                maxSkew=1, topologyKey=key, whenUnsatisfiable="DoNotSchedule"
            )
            constraint.labelSelector.matchLabels["application"] = application

    return await _queue(client, "spread", count, even)


async def _queue(
    client: Client, kind: str, count: int, complete: Callable[[core_pb2.Pod, str], None]
) -> dict[str, float]:
    async def one(n: int) -> None:
        wanted = pod(f"queued-{kind}-{n}", scheduled=True)
        application = f"{kind}-{n % APPLICATIONS}"
        wanted.metadata.labels.update({"queue": kind, "application": application})
        wanted.spec.nodeSelector.update(HOLLOW)
        wanted.spec.containers[0].resources.requests["cpu"].string = "100m"
        complete(wanted, application)
        await client.create(wanted, "default")

    await _together(one, count)
    return {}


async def placed(client: Client, kubeconfig: str, count: int, kind: str = "plain") -> dict[str, float]:
    """Pods bound per second, from the first to the last of those that a ``queue`` has made."""
    async with _bound(client, f"queue={kind}", count) as times:
        found = await times
    return {"per_second": (count - 1) / (found[-1] - found[0])}


async def endpoints(client: Client, kubeconfig: str, count: int) -> dict[str, float]:
    """Create so many services with ten addresses each."""

    async def one(n: int) -> None:
        service = core_pb2.Service()
        service.metadata.name = f"crowd-{n}"
        service.spec.ports.add(port=80)
        await client.create(service, "default")
        await client.create(_addresses(n, 0), "default")

    await _together(one, count)
    return {}


def _addresses(n: int, turn: int) -> discovery_pb2.EndpointSlice:
    made = discovery_pb2.EndpointSlice(addressType="IPv4")
    made.metadata.name = f"crowd-{n}"
    made.metadata.labels["kubernetes.io/service-name"] = made.metadata.name
    for k in range(ADDRESSES):
        made.endpoints.add(addresses=[f"10.{128 + turn}.{n // 25}.{n % 25 * ADDRESSES + k}"])
    made.ports.add(port=8080, protocol="TCP")
    return made


async def change(client: Client, kubeconfig: str, count: int) -> dict[str, float]:
    """Milliseconds from sending an EndpointSlice's change to the kernel telling of this node's new rules; the median of
    ``count`` changes."""
    monitor = await asyncio.create_subprocess_exec("nft", "monitor", stdout=asyncio.subprocess.PIPE)
    assert monitor.stdout is not None
    took: list[float] = []
    try:
        await _listening(monitor.stdout)
        for turn in range(1, count + 1):
            wanted = _addresses(77, turn)
            found = await client.get(ENDPOINT_SLICES, wanted.metadata.name, "default")
            found.ClearField("endpoints")
            found.endpoints.extend(wanted.endpoints)
            began = time.perf_counter()
            await client.update(found)
            needle = wanted.endpoints[-1].addresses[0].encode()
            async with asyncio.timeout(PATIENCE_SECONDS):
                while needle not in await monitor.stdout.readline():
                    pass
            took.append(1000 * (time.perf_counter() - began))
    finally:
        monitor.terminate()
        await monitor.wait()
    return {"ms": statistics.median(took)}


async def _listening(monitor: asyncio.StreamReader) -> None:
    """Wait until the monitor tells what happens: it does not say when it has begun."""
    first = asyncio.ensure_future(monitor.readline())
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not first.done():
            table = "table ip bench"
            probe = await asyncio.create_subprocess_exec("nft", f"add {table}; delete {table}")
            await probe.wait()
            await asyncio.wait([first], timeout=0.1)


async def _together(one: Callable[[int], Awaitable[object]], count: int) -> None:
    numbers = iter(range(count))

    async def some() -> None:
        for n in numbers:
            await one(n)

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(some())


@contextlib.asynccontextmanager
async def _bound(client: Client, selector: str, count: int) -> AsyncGenerator[Awaitable[Sequence[float]]]:
    """Give what ends when so many pods were seen with a node: the times at which they were."""
    listed = await client.list(PODS, "default", label_selector=selector)
    now = time.perf_counter()
    seen = {found.metadata.uid: now for found in listed.items if found.spec.nodeName}
    revision = listed.resource_version

    async def follow() -> Sequence[float]:
        async with asyncio.timeout(PATIENCE_SECONDS):
            async for event in client.watch(PODS, "default", resource_version=revision, label_selector=selector):
                if event.object is not None and event.object.spec.nodeName:
                    seen.setdefault(event.object.metadata.uid, time.perf_counter())
                if len(seen) == count:
                    break
        return sorted(seen.values())

    async with asyncio.TaskGroup() as group:
        yield group.create_task(follow())


WORK = {
    "watchers": watchers,
    "fill": fill,
    "nodes": nodes,
    "replicas": replicas,
    "replica-set": replica_set,
    "rollover": rollover,
    "queue": queue,
    "queue-affinity": queue_affinity,
    "queue-spread": queue_spread,
    "placed": placed,
    "placed-affinity": partial(placed, kind="affinity"),
    "placed-spread": partial(placed, kind="spread"),
    "endpoints": endpoints,
    "change": change,
}


async def main(kubeconfig: str, work: str, count: str) -> None:
    async with Client.from_kubeconfig(kubeconfig, caller="bench") as client:
        print(json.dumps(await WORK[work](client, kubeconfig, int(count))))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

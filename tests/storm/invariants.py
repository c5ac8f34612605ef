"""The invariants of a cluster under any faults. Each check returns its violations as texts, empty when it holds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from kubelab.apimachinery.scheme import CONFIG_MAPS
from kubelab.chaos import load
from kubelab.chaos.recording import ServiceRequest
from kubelab.chaos.session import ExperimentSession
from kubelab.cri.runtime.v1 import api_pb2 as cri
from kubelab.cri.runtime.v1 import api_pb2_grpc as cri_grpc

CALL_SECONDS = 10.0
POD_UID = "io.kubernetes.pod.uid"
Window = tuple[float, float]


async def every_pod_runs_once(session: ExperimentSession) -> list[str]:
    """No pod has two sandboxes that are ready, and no container runs twice, over all nodes."""
    sandboxes: dict[str, list[str]] = defaultdict(list)
    containers: dict[str, list[str]] = defaultdict(list)
    for node in await session.driver.nodes():
        channel = await session.driver.runtime_channel(node.name)
        try:
            stub: Any = cri_grpc.RuntimeServiceStub(channel)
            ready = cri.PodSandboxFilter(state=cri.PodSandboxStateValue(state=cri.PodSandboxState.SANDBOX_READY))
            listed = await stub.ListPodSandbox(cri.ListPodSandboxRequest(filter=ready), timeout=CALL_SECONDS)
            for sandbox in listed.items:
                sandboxes[sandbox.metadata.uid].append(f"{sandbox.metadata.name} on {node.name}")
            runs = cri.ContainerFilter(state=cri.ContainerStateValue(state=cri.ContainerState.CONTAINER_RUNNING))
            answer = await stub.ListContainers(cri.ListContainersRequest(filter=runs), timeout=CALL_SECONDS)
            for container in answer.containers:
                key = f"{container.labels[POD_UID]}/{container.metadata.name}"
                containers[key].append(f"{container.labels['io.kubernetes.pod.name']} on {node.name}")
        finally:
            await channel.close()
    twice = [places for places in (*sandboxes.values(), *containers.values()) if len(places) > 1]
    return [f"a pod runs twice: {', '.join(places)}" for places in twice]


async def acknowledged_is_there(session: ExperimentSession) -> list[str]:
    """Everything whose creation was acknowledged can be listed."""
    expected = set(session.acknowledged)
    listed = await session.client.list(CONFIG_MAPS, session.namespace, label_selector=load.LABEL)
    missing = sorted(expected - {obj.metadata.name for obj in listed.items})
    return [f"acknowledged and not there: {name}" for name in missing]


def traffic_goes_on(requests: Iterable[ServiceRequest], excused: Sequence[Window]) -> list[str]:
    """Every request through the service is answered, except within ``excused``: a node was cut off, or a pod ended."""
    return [
        f"{request.at:.2f} s: {request.error}"
        for request in requests
        if request.error and not any(begin <= request.at <= end for begin, end in excused)
    ]

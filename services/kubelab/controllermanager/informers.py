"""One informer for each resource, shared by every controller of the process, with the indexes that they ask for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, TypeVar

from google.protobuf.message import Message

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import scheme
from kubelab.apimachinery.clock import Clock
from kubelab.apimachinery.scheme import Resource
from kubelab.client.client import Client
from kubelab.client.informer import Informer
from kubelab.controllermanager import pods as pod_rules
from kubelab.controllermanager.owners import controller_of, selects

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from structlog.typing import FilteringBoundLogger

BY_CONTROLLER = "controller-uid"
ORPHANS = "without-controller"
BY_NODE = "node"
TERMINATED = "terminated"
BY_SELECTOR = "selector"
BY_LABEL = "label"


class SharedInformers:
    """Every resource that can be listed, watched and deleted, except events (they expire by themselves)."""

    def __init__(self, client: Client, *, clock: Clock, log: FilteringBoundLogger, registry: CollectorRegistry) -> None:
        options = {"clock": clock, "log": log, "registry": registry}
        self.pods: Informer[core_pb2.Pod] = Informer(
            client,
            scheme.PODS,
            indexers={
                BY_CONTROLLER: _controller_uid,
                ORPHANS: _orphan_namespace,
                BY_NODE: _node_name,
                BY_LABEL: _labels,
                TERMINATED: lambda pod: ("",) if pod_rules.ended(pod) else (),
            },
            **options,
        )
        self.nodes = Informer(client, scheme.NODES, **options)
        self.services: Informer[core_pb2.Service] = Informer(
            client, scheme.SERVICES, indexers={BY_SELECTOR: _one_of_selector}, **options
        )
        self.endpoints = Informer(client, scheme.ENDPOINTS, **options)
        self.namespaces = Informer(client, scheme.NAMESPACES, **options)
        self.replication_controllers: Informer[core_pb2.ReplicationController] = Informer(
            client, scheme.REPLICATION_CONTROLLERS, indexers={BY_SELECTOR: _one_of_rc_selector}, **options
        )
        self.leases = Informer(client, scheme.LEASES, **options)
        self.config_maps = Informer(client, scheme.CONFIG_MAPS, **options)
        self.secrets = Informer(client, scheme.SECRETS, **options)
        self.all: tuple[tuple[Resource[Message], Informer[Message]], ...] = (
            (scheme.PODS, self.pods),
            (scheme.NODES, self.nodes),
            (scheme.SERVICES, self.services),
            (scheme.ENDPOINTS, self.endpoints),
            (scheme.NAMESPACES, self.namespaces),
            (scheme.REPLICATION_CONTROLLERS, self.replication_controllers),
            (scheme.LEASES, self.leases),
            (scheme.CONFIG_MAPS, self.config_maps),
            (scheme.SECRETS, self.secrets),
        )  # type: ignore[assignment]  # an informer hands out only what it was made for

    async def run(self) -> None:
        """Keep every cache up until cancelled."""
        async with asyncio.TaskGroup() as group:
            for resource, informer in self.all:
                group.create_task(informer.run(), name=f"informer-{resource.plural}")

    async def wait_synced(self) -> None:
        """Return when every cache holds what the api-server had."""
        for _, informer in self.all:
            await informer.wait_synced()


def selector_key(namespace: str, key: str, value: str) -> str:
    """Name one label of one namespace, under which whatever selects it is found."""
    return f"{namespace}/{key}={value}"


def _controller_uid(pod: core_pb2.Pod) -> Iterable[str]:
    ref = controller_of(pod)
    return (ref.uid,) if ref else ()


def _orphan_namespace(pod: core_pb2.Pod) -> Iterable[str]:
    return () if controller_of(pod) else (pod.metadata.namespace,)


def _node_name(pod: core_pb2.Pod) -> Iterable[str]:
    return (pod.spec.nodeName,) if pod.spec.nodeName else ()


def _labels(pod: core_pb2.Pod) -> Iterable[str]:
    return [selector_key(pod.metadata.namespace, key, value) for key, value in pod.metadata.labels.items()]


def _one_of_selector(service: core_pb2.Service) -> Iterable[str]:
    # One label is enough to find it: a pod that is selected carries them all.
    for key, value in sorted(service.spec.selector.items())[:1]:
        yield selector_key(service.metadata.namespace, key, value)


def _one_of_rc_selector(rc: core_pb2.ReplicationController) -> Iterable[str]:
    for key, value in sorted(rc.spec.selector.items())[:1]:
        yield selector_key(rc.metadata.namespace, key, value)


S = TypeVar("S", core_pb2.Service, core_pb2.ReplicationController)


def selecting(informer: Informer[S], pod: core_pb2.Pod) -> list[S]:
    """Find the services, or the replication controllers, that select a pod."""
    labels, namespace = pod.metadata.labels, pod.metadata.namespace
    return [
        candidate
        for key, value in labels.items()
        for candidate in informer.by_index(BY_SELECTOR, selector_key(namespace, key, value))
        if selects(candidate.spec.selector, labels)
    ]


def selected_pods(
    informer: Informer[core_pb2.Pod], namespace: str, selector: Mapping[str, str]
) -> list[core_pb2.Pod]:
    """Find the pods that carry every label of a selector; an empty selector selects nothing."""
    if not selector:
        return []
    key, value = min(selector.items())
    candidates = informer.by_index(BY_LABEL, selector_key(namespace, key, value))
    return [pod for pod in candidates if selects(selector, pod.metadata.labels)]

"""One informer for each resource, shared by every controller of the process, with the indexes that they ask for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from google.protobuf.message import Message

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import labels, scheme
from kubelab.apimachinery.clock import Clock
from kubelab.apimachinery.core.pods import is_terminal
from kubelab.apimachinery.meta import get_controller_of
from kubelab.apimachinery.scheme import Resource
from kubelab.client.client import Client
from kubelab.client.informer import Informer

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from structlog.typing import FilteringBoundLogger

T = TypeVar("T", bound=Message)
S = TypeVar("S", core_pb2.Service, core_pb2.ReplicationController)

BY_CONTROLLER = "controller-uid"
ORPHANS = "without-controller"
BY_NODE = "node"
TERMINATED = "terminated"
BY_SELECTOR = "selector"
BY_LABEL = "label"


class SharedInformers:
    """Informers by resource, made when a controller first asks for one and kept up while :meth:`run` goes on."""

    def __init__(self, client: Client, *, clock: Clock, log: FilteringBoundLogger, registry: CollectorRegistry) -> None:
        self._client, self._clock, self._log, self._registry = client, clock, log, registry
        self._informers: dict[str, Informer[Any]] = {}  # by qualified name: two groups may have the same plural
        self._group: asyncio.TaskGroup | None = None  # while it runs

    def of(self, resource: Resource[T]) -> Informer[T]:
        """The informer of a resource, with the indexes that :data:`INDEXERS` has for it."""
        informer = self._informers.get(resource.qualified)
        if informer is None:
            informer = Informer(
                self._client,
                resource,
                indexers=INDEXERS.get(resource.qualified),
                clock=self._clock,
                log=self._log,
                registry=self._registry,
            )
            self._informers[resource.qualified] = informer
            if self._group is not None:
                self._start(resource.qualified, informer)
        return informer

    def deletable(self) -> list[tuple[Resource[Message], Informer[Any]]]:
        """Every resource that can be listed, watched and deleted, but events: they expire by themselves."""
        return [(r, self.of(r)) for r in scheme.ALL if {*r.verbs} >= _FOLLOWED and r is not scheme.EVENTS]

    async def run(self) -> None:
        """Keep every cache up until cancelled, also those that are asked for later."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            for name, informer in self._informers.items():
                self._start(name, informer)
            await asyncio.Event().wait()

    def _start(self, name: str, informer: Informer[Any]) -> None:
        assert self._group is not None
        self._group.create_task(informer.run(), name=f"informer-{name}")

    async def wait_synced(self) -> None:
        """Return when every cache holds what the api-server had."""
        for informer in [*self._informers.values()]:
            await informer.wait_synced()


def selector_key(namespace: str, key: str, value: str) -> str:
    """Name one label of one namespace, under which whatever selects it is found."""
    return f"{namespace}/{key}={value}"


def _controller_uid(pod: core_pb2.Pod) -> Iterable[str]:
    ref = get_controller_of(pod)
    return (ref.uid,) if ref else ()


def _orphan_namespace(pod: core_pb2.Pod) -> Iterable[str]:
    return () if get_controller_of(pod) else (pod.metadata.namespace,)


def _node_name(pod: core_pb2.Pod) -> Iterable[str]:
    return (pod.spec.nodeName,) if pod.spec.nodeName else ()


def _labels(pod: core_pb2.Pod) -> Iterable[str]:
    return [selector_key(pod.metadata.namespace, key, value) for key, value in pod.metadata.labels.items()]


def _ended(pod: core_pb2.Pod) -> Iterable[str]:
    return ("",) if is_terminal(pod) else ()


def _one_of_selector(selecting: core_pb2.Service | core_pb2.ReplicationController) -> Iterable[str]:
    # One label is enough to find it: a pod that is selected carries them all.
    for key, value in sorted(selecting.spec.selector.items())[:1]:
        yield selector_key(selecting.metadata.namespace, key, value)


def selecting(informer: Informer[S], pod: core_pb2.Pod) -> list[S]:
    """Find the services, or the replication controllers, that select a pod."""
    namespace = pod.metadata.namespace
    return [
        candidate
        for key, value in pod.metadata.labels.items()
        for candidate in informer.by_index(BY_SELECTOR, selector_key(namespace, key, value))
        if labels.select(candidate.spec.selector, pod.metadata.labels)
    ]


def selected_pods(informer: Informer[core_pb2.Pod], namespace: str, selector: Mapping[str, str]) -> list[core_pb2.Pod]:
    """Find the pods that carry every label of a selector; an empty selector selects nothing."""
    if not selector:
        return []
    key, value = min(selector.items())
    candidates = informer.by_index(BY_LABEL, selector_key(namespace, key, value))
    return [pod for pod in candidates if labels.select(selector, pod.metadata.labels)]


_FOLLOWED = {"list", "watch", "delete"}
INDEXERS: dict[str, Mapping[str, Callable[[Any], Iterable[str]]]] = {
    scheme.PODS.qualified: {
        BY_CONTROLLER: _controller_uid,
        ORPHANS: _orphan_namespace,
        BY_NODE: _node_name,
        BY_LABEL: _labels,
        TERMINATED: _ended,
    },
    scheme.SERVICES.qualified: {BY_SELECTOR: _one_of_selector},
    scheme.REPLICATION_CONTROLLERS.qualified: {BY_SELECTOR: _one_of_selector},
}

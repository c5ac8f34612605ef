"""The indexes that several controllers read, each a name and a function for ``Informer.add_indexers``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol, TypeVar, cast

from google.protobuf.message import Message

from kubelab.api.core.v1 import core_pb2
from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery import labels, labelselectors
from kubelab.apimachinery.core.pods import is_terminal
from kubelab.apimachinery.meta import get_controller_of, meta_of
from kubelab.client.informer import Informer

S = TypeVar("S", core_pb2.Service, core_pb2.ReplicationController)
W = TypeVar("W", bound=Message)


class _Spec(Protocol):
    @property
    def selector(self) -> meta_pb2.LabelSelector: ...


class Workload(Protocol):
    """An object that selects by a LabelSelector, such as a ReplicaSet."""

    @property
    def metadata(self) -> meta_pb2.ObjectMeta: ...

    @property
    def spec(self) -> _Spec: ...


BY_CONTROLLER = "controller-uid"
ORPHANS = "without-controller"
BY_NODE = "node"
TERMINATED = "terminated"
BY_SELECTOR = "selector"
BY_LABEL = "label"
BY_SERVICE = "service"


def controller_uid(obj: Message) -> Iterable[str]:
    """BY_CONTROLLER: the uid of the object's controller."""
    ref = get_controller_of(obj)
    return (ref.uid,) if ref else ()


def orphan_namespace(obj: Message) -> Iterable[str]:
    """ORPHANS: the namespace of an object that has no controller."""
    return () if get_controller_of(obj) else (meta_of(obj).namespace,)


def node_name(pod: core_pb2.Pod) -> Iterable[str]:
    """BY_NODE: the node that the pod is bound to."""
    return (pod.spec.nodeName,) if pod.spec.nodeName else ()


def terminated(pod: core_pb2.Pod) -> Iterable[str]:
    """TERMINATED: ``""`` for a pod in a terminal phase."""
    return ("",) if is_terminal(pod) else ()


def pod_labels(pod: core_pb2.Pod) -> Iterable[str]:
    """BY_LABEL: every label, see :func:`selector_key`."""
    return [selector_key(pod.metadata.namespace, key, value) for key, value in pod.metadata.labels.items()]


def selector_label(selecting: core_pb2.Service | core_pb2.ReplicationController) -> Iterable[str]:
    """BY_SELECTOR: one label of the selector, which is enough: a pod that is selected carries them all."""
    for key, value in sorted(selecting.spec.selector.items())[:1]:
        yield selector_key(selecting.metadata.namespace, key, value)


def selector_key(namespace: str, key: str, value: str) -> str:
    """Name one label of one namespace: what BY_LABEL and BY_SELECTOR have objects under."""
    return f"{namespace}/{key}={value}"


def selecting(informer: Informer[S], pod: core_pb2.Pod) -> list[S]:
    """Find the services, or the replication controllers, that select a pod. The informer has the index BY_SELECTOR."""
    namespace = pod.metadata.namespace
    return [
        candidate
        for key, value in pod.metadata.labels.items()
        for candidate in informer.by_index(BY_SELECTOR, selector_key(namespace, key, value))
        if labels.select(candidate.spec.selector, pod.metadata.labels)
    ]


def selector_keys(workload: Message) -> Iterable[str]:
    """BY_SELECTOR: one label that everything carries that the workload's LabelSelector takes; where it names none, its
    namespace."""
    selecting = cast(Workload, workload)
    for key, value in sorted(selecting.spec.selector.matchLabels.items())[:1]:
        return (selector_key(selecting.metadata.namespace, key, value),)
    return (selecting.metadata.namespace,)


def label_selecting(informer: Informer[W], obj: Message) -> list[W]:
    """Find the workloads whose LabelSelector takes an object. The informer has the index BY_SELECTOR by
    :func:`selector_keys`."""
    meta = meta_of(obj)
    keys = [selector_key(meta.namespace, key, value) for key, value in meta.labels.items()]
    candidates = [workload for key in (*keys, meta.namespace) for workload in informer.by_index(BY_SELECTOR, key)]
    return [w for w in candidates if labelselectors.of_stored(cast(Workload, w).spec.selector).matches(meta.labels)]


def selected_pods(informer: Informer[core_pb2.Pod], namespace: str, selector: Mapping[str, str]) -> list[core_pb2.Pod]:
    """Find the pods that carry every label of a selector; an empty selector selects nothing. The informer has the index
    BY_LABEL."""
    if not selector:
        return []
    key, value = min(selector.items())
    candidates = informer.by_index(BY_LABEL, selector_key(namespace, key, value))
    return [pod for pod in candidates if labels.select(selector, pod.metadata.labels)]

"""Deployments, ReplicaSets and ReplicationControllers."""

from __future__ import annotations

from collections.abc import Sequence

from kubelab.api.apps.v1 import apps_pb2
from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import intstr, labelselectors
from kubelab.apimachinery.apps.deployments import new_and_old
from kubelab.apimachinery.meta import get_controller_of, is_controlled_by
from kubelab.kctl.describe import events, pods
from kubelab.kctl.describe.writer import NONE, Writer, comma_labels, moment

Events = Sequence[core_pb2.Event] | None
Conditions = Sequence[
    apps_pb2.DeploymentCondition | apps_pb2.ReplicaSetCondition | core_pb2.ReplicationControllerCondition
]
_TITLES = {"Running": "Running", "Pending": "Waiting", "Succeeded": "Succeeded", "Failed": "Failed"}


def deployment(
    obj: apps_pb2.Deployment, replica_sets: Sequence[apps_pb2.ReplicaSet], object_events: Events, now: float
) -> str:
    """Describe a Deployment with its ReplicaSets."""
    w, spec, status = Writer(), obj.spec, obj.status
    w.field("Name", obj.metadata.name)
    w.field("Namespace", obj.metadata.namespace)
    w.field("CreationTimestamp", moment(obj.metadata.creationTimestamp))
    w.labels("Labels", obj.metadata.labels)
    w.annotations("Annotations", obj.metadata.annotations)
    w.field("Selector", labelselectors.text(spec.selector))
    w.field(
        "Replicas",
        f"{spec.replicas} desired | {status.updatedReplicas} updated | {status.replicas} total | "
        f"{status.availableReplicas} available | {status.unavailableReplicas} unavailable",
    )
    w.field("StrategyType", spec.strategy.type)
    w.field("MinReadySeconds", spec.minReadySeconds)
    if spec.strategy.HasField("rollingUpdate"):
        rolling = spec.strategy.rollingUpdate
        unavailable, surge = intstr.text(rolling.maxUnavailable), intstr.text(rolling.maxSurge)
        w.field("RollingUpdateStrategy", f"{unavailable} max unavailable, {surge} max surge")
    pods.template(w, spec.template)
    _conditions(w, status.conditions)
    if replica_sets:
        new, old = new_and_old(obj, replica_sets)
        w.field("OldReplicaSets", _replica_sets(old))
        w.field("NewReplicaSet", _replica_sets([new] if new is not None else []))
    return _end(w, object_events, now)


def replica_set(obj: apps_pb2.ReplicaSet, selected: Sequence[core_pb2.Pod], object_events: Events, now: float) -> str:
    """Describe a ReplicaSet; of the pods that its selector selects only its own count."""
    w = Writer()
    _head(w, obj, labelselectors.text(obj.spec.selector))
    owner = get_controller_of(obj)
    if owner is not None:
        w.field("Controlled By", f"{owner.kind}/{owner.name}")
    _pods(w, obj, selected)
    pods.template(w, obj.spec.template)
    _conditions(w, obj.status.conditions)
    return _end(w, object_events, now)


def replication_controller(
    rc: core_pb2.ReplicationController, selected: Sequence[core_pb2.Pod], object_events: Events, now: float
) -> str:
    """Describe a replication controller; of the pods that its selector selects only its own count."""
    w = Writer()
    _head(w, rc, comma_labels(rc.spec.selector))
    _pods(w, rc, selected)
    if rc.spec.HasField("template"):
        pods.template(w, rc.spec.template)
    _conditions(w, rc.status.conditions)
    return _end(w, object_events, now)


def _head(w: Writer, obj: apps_pb2.ReplicaSet | core_pb2.ReplicationController, selector: str) -> None:
    w.field("Name", obj.metadata.name)
    w.field("Namespace", obj.metadata.namespace)
    w.field("Selector", selector)
    w.labels("Labels", obj.metadata.labels)
    w.annotations("Annotations", obj.metadata.annotations)


def _pods(
    w: Writer, obj: apps_pb2.ReplicaSet | core_pb2.ReplicationController, selected: Sequence[core_pb2.Pod]
) -> None:
    w.field("Replicas", f"{obj.status.replicas} current / {obj.spec.replicas} desired")
    phases = [pod.status.phase for pod in selected if is_controlled_by(pod, obj)]
    w.field("Pods Status", " / ".join(f"{phases.count(phase)} {title}" for phase, title in _TITLES.items()))


def _conditions(w: Writer, conditions: Conditions) -> None:
    if conditions:
        w.line("Conditions:")
        w.line("Type\tStatus\tReason", 1)
        w.line("----\t------\t------", 1)
        for condition in conditions:
            w.line(f"{condition.type} \t{condition.status}\t{condition.reason}", 1)


def _replica_sets(replica_sets: Sequence[apps_pb2.ReplicaSet]) -> str:
    """``web-5d8b (3/3 replicas created)``, with commas between."""
    texts = [f"{rs.metadata.name} ({rs.status.replicas}/{rs.spec.replicas} replicas created)" for rs in replica_sets]
    return ", ".join(texts) or NONE


def _end(w: Writer, object_events: Events, now: float) -> str:
    if object_events is not None:
        events.write(w, object_events, now)
    return w.render()

"""Pods and pod templates."""

from __future__ import annotations

import re
from collections.abc import Sequence

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery.core.pods import is_terminal
from kubelab.apimachinery.core.qos import pod_qos
from kubelab.apimachinery.meta import get_controller_of
from kubelab.apimachinery.timestamps import human_duration
from kubelab.kctl.describe import containers, events, volumes
from kubelab.kctl.describe.writer import NONE, Writer, moment


def describe(pod: core_pb2.Pod, object_events: Sequence[core_pb2.Event] | None, now: float) -> str:
    """Describe a pod; ``events_`` None leaves the events out."""
    w = Writer()
    _head(w, pod)
    _phase(w, pod, now)
    statuses = {s.name: s for s in pod.status.containerStatuses}
    containers.write(w, pod.spec.containers, statuses, lambda path: _field(pod, path))
    if pod.status.conditions:
        w.line("Conditions:")
        w.line("Type\tStatus", 1)
        for condition in pod.status.conditions:
            w.line(f"{condition.type} \t{condition.status} ", 1)
    volumes.write(w, pod.spec.volumes)
    w.field("QoS Class", pod_qos(pod))
    w.labels("Node-Selectors", pod.spec.nodeSelector)
    w.several("Tolerations", tolerations(pod.spec.tolerations))
    if object_events is not None:
        events.write(w, object_events, now)
    return w.render()


def template(w: Writer, pod: core_pb2.PodTemplateSpec) -> None:
    """Describe what a controller makes its pods from."""
    w.line("Pod Template:")
    w.labels("  Labels", pod.metadata.labels)
    if pod.metadata.annotations:
        w.annotations("  Annotations", pod.metadata.annotations)
    if pod.spec.serviceAccountName:
        w.field("  Service Account", pod.spec.serviceAccountName)
    containers.write(w, pod.spec.containers, {}, lambda path: "", "  ")
    volumes.write(w, pod.spec.volumes, "  ")
    if pod.spec.priorityClassName:
        w.field("  Priority Class Name", pod.spec.priorityClassName)
    w.labels("  Node-Selectors", pod.spec.nodeSelector)
    w.several("  Tolerations", tolerations(pod.spec.tolerations))


def _head(w: Writer, pod: core_pb2.Pod) -> None:
    w.field("Name", pod.metadata.name)
    w.field("Namespace", pod.metadata.namespace)
    if pod.spec.HasField("priority"):
        w.field("Priority", pod.spec.priority)
    if pod.spec.priorityClassName:
        w.field("Priority Class Name", pod.spec.priorityClassName)
    if pod.spec.serviceAccountName:
        w.field("Service Account", pod.spec.serviceAccountName)
    w.field("Node", f"{pod.spec.nodeName}/{pod.status.hostIP}" if pod.spec.nodeName else NONE)
    if pod.status.HasField("startTime"):
        w.field("Start Time", moment(pod.status.startTime))
    w.labels("Labels", pod.metadata.labels)
    w.annotations("Annotations", pod.metadata.annotations)


def _phase(w: Writer, pod: core_pb2.Pod, now: float) -> None:
    status, metadata = pod.status, pod.metadata
    if metadata.HasField("deletionTimestamp") and not is_terminal(pod):
        lasts = human_duration(now - metadata.deletionTimestamp.seconds)
        w.field("Status", f"Terminating (lasts {lasts})")
        w.field("Termination Grace Period", f"{metadata.deletionGracePeriodSeconds}s")
    else:
        w.field("Status", status.phase)
    if status.reason:
        w.field("Reason", status.reason)
    if status.message:
        w.field("Message", status.message)
    w.field("IP", status.podIP)
    if status.podIPs:
        w.line("IPs:")
        for ip in status.podIPs:
            w.field("IP", ip.ip, 1)
    else:
        w.field("IPs", NONE)
    owner = get_controller_of(pod)
    if owner is not None:
        w.field("Controlled By", f"{owner.kind}/{owner.name}")
    if status.nominatedNodeName:
        w.field("NominatedNodeName", status.nominatedNodeName)


def tolerations(pod_tolerations: Sequence[core_pb2.Toleration]) -> list[str]:
    """Give ``key=value:effect op=Exists for 300s``, by key."""
    texts: list[str] = []
    for toleration in sorted(pod_tolerations, key=lambda t: t.key):
        text = toleration.key
        if toleration.value:
            text += f"={toleration.value}"
        if toleration.effect:
            text += f":{toleration.effect}"
        if toleration.operator == "Exists" and not toleration.value:
            text += " op=Exists" if text else "op=Exists"
        if toleration.HasField("tolerationSeconds"):
            text += f" for {toleration.tolerationSeconds}s"
        texts.append(text)
    return texts


def _field(pod: core_pb2.Pod, path: str) -> str:
    """Look up what a fieldRef means, as far as metadata tells; the rest is known to the kubelet only."""
    metadata = pod.metadata
    plain = {"metadata.name": metadata.name, "metadata.namespace": metadata.namespace, "metadata.uid": metadata.uid}
    if path in plain:
        return plain[path]
    subscript = re.fullmatch(r"metadata\.(labels|annotations)\['(.*)'\]", path)
    if subscript is None:
        return ""
    return (metadata.labels if subscript[1] == "labels" else metadata.annotations).get(subscript[2], "")

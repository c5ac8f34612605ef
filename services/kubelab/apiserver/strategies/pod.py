"""Pods: defaults, rules, and how long they may take to go."""

from __future__ import annotations

from collections.abc import Mapping

from kubelab.api.core.v1 import core_pb2
from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery import quantity
from kubelab.apimachinery.errors import Cause
from kubelab.apiserver.strategies import causes, podspec
from kubelab.apiserver.strategies.base import Strategy

MAY_CHANGE = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)
NOT_READY, UNREACHABLE = "node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"
TOLERATION_SECONDS = 300  # upstream's DefaultTolerationSeconds admission


class PodStrategy(Strategy[core_pb2.Pod]):
    def default(self, obj: core_pb2.Pod) -> None:
        podspec.default(obj.spec)

    def prepare_for_create(self, obj: core_pb2.Pod) -> None:
        super().prepare_for_create(obj)
        obj.metadata.generation = 0  # 1.32 does not count a pod's generations
        obj.status.phase = "Pending"
        obj.status.qosClass = qos_class(obj.spec)
        for key in (NOT_READY, UNREACHABLE):
            if not any(t.key in ("", key) and t.effect in ("", "NoExecute") for t in obj.spec.tolerations):
                obj.spec.tolerations.add(
                    key=key, operator="Exists", effect="NoExecute", tolerationSeconds=TOLERATION_SECONDS
                )

    def prepare_for_update(self, obj: core_pb2.Pod, old: core_pb2.Pod) -> None:
        super().prepare_for_update(obj, old)
        obj.metadata.generation = 0

    def prepare_for_status_update(self, obj: core_pb2.Pod, old: core_pb2.Pod) -> None:
        super().prepare_for_status_update(obj, old)
        obj.status.qosClass = obj.status.qosClass or old.status.qosClass

    def validate_content(self, obj: core_pb2.Pod) -> list[Cause]:
        return podspec.validate(obj.spec, "spec")

    def validate_update(self, obj: core_pb2.Pod, old: core_pb2.Pod) -> list[Cause]:
        found = super().validate_update(obj, old)
        if len(obj.spec.containers) != len(old.spec.containers):
            found.append(causes.forbidden("spec.containers", "pod updates may not add or remove containers"))
            return found
        munged = core_pb2.PodSpec()
        munged.CopyFrom(obj.spec)
        for container, before in zip(munged.containers, old.spec.containers, strict=True):
            container.image = before.image
        if old.spec.HasField("activeDeadlineSeconds"):
            munged.activeDeadlineSeconds = old.spec.activeDeadlineSeconds
        else:
            munged.ClearField("activeDeadlineSeconds")
        if all(toleration in munged.tolerations for toleration in old.spec.tolerations):
            munged.ClearField("tolerations")
            munged.tolerations.extend(old.spec.tolerations)
        if munged != old.spec:
            found.append(causes.forbidden("spec", MAY_CHANGE))
        return found

    def validate_status_update(self, obj: core_pb2.Pod, old: core_pb2.Pod) -> list[Cause]:
        found = super().validate_status_update(obj, old)
        names = {status.name for status in obj.status.containerStatuses}
        if len(names) != len(obj.status.containerStatuses):
            found.append(causes.duplicate("status.containerStatuses", "name"))
        return found

    def selectable_fields(self, obj: core_pb2.Pod) -> Mapping[str, str]:
        return {
            "metadata.name": obj.metadata.name,
            "metadata.namespace": obj.metadata.namespace,
            "spec.nodeName": obj.spec.nodeName,
            "spec.restartPolicy": obj.spec.restartPolicy,
            "spec.schedulerName": obj.spec.schedulerName,
            "spec.serviceAccountName": obj.spec.serviceAccountName,
            "spec.hostNetwork": "true" if obj.spec.hostNetwork else "false",
            "status.phase": obj.status.phase,
            "status.podIP": obj.status.podIP,
            "status.nominatedNodeName": obj.status.nominatedNodeName,
        }

    def graceful_delete_seconds(self, obj: core_pb2.Pod, options: meta_pb2.DeleteOptions) -> int | None:
        """What was asked for, else the pod's own; 0 where no kubelet has anything to end."""
        if not obj.spec.nodeName or obj.status.phase in ("Succeeded", "Failed"):
            return 0
        if options.HasField("gracePeriodSeconds"):
            return max(0, options.gracePeriodSeconds)
        return obj.spec.terminationGracePeriodSeconds


def qos_class(spec: core_pb2.PodSpec) -> str:
    """Guaranteed, Burstable or BestEffort
    (https://kubernetes.io/docs/concepts/workloads/pods/pod-qos/)."""
    guaranteed, any_asked = True, False
    for container in spec.containers:
        requests, limits = container.resources.requests, container.resources.limits
        any_asked |= any(name in amounts for amounts in (requests, limits) for name in ("cpu", "memory"))
        for name in ("cpu", "memory"):
            if name not in limits or name not in requests or not _same(requests[name].string, limits[name].string):
                guaranteed = False
    if not any_asked:
        return "BestEffort"
    return "Guaranteed" if guaranteed else "Burstable"


def _same(one: str, other: str) -> bool:
    if one == other:
        return True
    try:
        return quantity.parse(one) == quantity.parse(other)
    except quantity.QuantityError:
        return False  # validation refuses the pod

"""A StatefulSet's pods: their names, ordinals and labels (upstream: ``stateful_set_utils.go``).

https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#pod-identity
"""

from __future__ import annotations

import re

from kubelab.api.apps.v1 import apps_pb2
from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery.apps.revisions import POD_HASH
from kubelab.apimachinery.core.pods import FAILED, RUNNING, SUCCEEDED, available_in, is_active, is_ready
from kubelab.apimachinery.meta import is_terminating
from kubelab.apimachinery.scheme import STATEFUL_SETS
from kubelab.controllermanager.podcontrol import pod_from_template

POD_NAME = "statefulset.kubernetes.io/pod-name"
POD_INDEX = "apps.kubernetes.io/pod-index"
_NAME = re.compile(r"(.*)-([0-9]{1,9})", re.ASCII | re.DOTALL)


def ordinal_of(stateful_set: apps_pb2.StatefulSet, pod: core_pb2.Pod) -> int | None:
    """Give a pod's number; None for a pod whose name is not one of the set's."""
    parts = _NAME.fullmatch(pod.metadata.name)
    return int(parts[2]) if parts is not None and parts[1] == stateful_set.metadata.name else None


def is_adoptable(pod: core_pb2.Pod) -> bool:
    """Say whether a pod without a controller may have been a StatefulSet's."""
    return is_active(pod) and pod.metadata.labels.get(POD_NAME, "") == pod.metadata.name


def make_pod(
    stateful_set: apps_pb2.StatefulSet, template: core_pb2.PodTemplateSpec, revision: str, ordinal: int
) -> core_pb2.Pod:
    """Make the pod of a number, of the template of a revision. Its host name is stable, below the set's service."""
    pod = pod_from_template(template, stateful_set, STATEFUL_SETS)
    name = f"{stateful_set.metadata.name}-{ordinal}"
    pod.metadata.ClearField("generateName")
    pod.metadata.name = name
    pod.metadata.labels.update({POD_NAME: name, POD_INDEX: str(ordinal), POD_HASH: revision})
    pod.spec.hostname, pod.spec.subdomain = name, stateful_set.spec.serviceName
    return pod


def revision_of(pod: core_pb2.Pod) -> str:
    """Give the name of the revision that a pod was made of."""
    return pod.metadata.labels.get(POD_HASH, "")


def has_ended(pod: core_pb2.Pod) -> bool:
    return pod.status.phase in (FAILED, SUCCEEDED)


def is_running_and_ready(pod: core_pb2.Pod) -> bool:
    return pod.status.phase == RUNNING and is_ready(pod)


def is_healthy(pod: core_pb2.Pod) -> bool:
    """Say whether a pod serves, and goes on doing so."""
    return is_running_and_ready(pod) and not is_terminating(pod)


def is_available(stateful_set: apps_pb2.StatefulSet, pod: core_pb2.Pod, now: float) -> bool:
    """Say whether a pod has been ready for long enough."""
    return is_running_and_ready(pod) and available_in(pod, stateful_set.spec.minReadySeconds, now) == 0

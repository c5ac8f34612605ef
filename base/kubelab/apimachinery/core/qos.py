"""A pod's quality of service class: which pods lose memory first when a node runs out of it.

https://kubernetes.io/docs/concepts/workloads/pods/pod-qos/; computed as upstream's
``pkg/apis/core/v1/helper/qos/qos.go`` does.
"""

from __future__ import annotations

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import quantity

GUARANTEED, BURSTABLE, BEST_EFFORT = "Guaranteed", "Burstable", "BestEffort"
_COUNTED = ("cpu", "memory")


def pod_qos(pod: core_pb2.Pod) -> str:
    """Give the class that the pod's status names, else the one that its spec has."""
    return pod.status.qosClass or compute_pod_qos(pod.spec)


def compute_pod_qos(spec: core_pb2.PodSpec) -> str:
    """Work the class out from requests and limits of cpu and memory.

    Amounts are compared, not their texts: ``1`` and ``1000m`` are equal. An amount of 0, or one that is no quantity,
    counts as none. ``spec`` has its defaults: the api-server copies a limit into a request that is missing.
    """
    guaranteed, any_amount = True, False
    for container in spec.containers:
        requests, limits = container.resources.requests, container.resources.limits
        for name in _COUNTED:
            request = quantity.amount(requests[name]) if name in requests else 0
            limit = quantity.amount(limits[name]) if name in limits else 0
            any_amount = any_amount or request > 0 or limit > 0
            guaranteed = guaranteed and request == limit > 0
    if not any_amount:
        return BEST_EFFORT
    return GUARANTEED if guaranteed else BURSTABLE

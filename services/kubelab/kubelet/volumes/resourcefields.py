"""Values of ``resourceFieldRef``: what a container asks for and may use (upstream: ``pkg/api/v1/resource``). Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import quantity
from kubelab.kubelet.volumes.errors import VolumeError


def resource_value(
    pod: core_pb2.Pod, ref: core_pb2.ResourceFieldSelector, container_name: str, allocatable: Mapping[str, str]
) -> str:
    """A whole number of the divisor, rounded up. A limit that is not set is what the node has; VolumeError for a
    container that is not there, or for what has no value."""
    container = next((c for c in (*pod.spec.containers, *pod.spec.initContainers) if c.name == container_name), None)
    if container is None:
        raise VolumeError(f"container {container_name} not found")
    part, _, name = ref.resource.partition(".")
    given = container.resources.limits if part == "limits" else container.resources.requests
    if part not in ("limits", "requests") or not name:
        raise VolumeError(f"unsupported container resource : {ref.resource}")
    if name in given:
        text = given[name].string
    else:
        text = allocatable.get(name, "0") if part == "limits" else "0"
    divisor = quantity.amount(ref.divisor.string or "1")
    return str(math.ceil(quantity.amount(text) / (divisor or 1)))

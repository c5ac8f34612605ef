"""The cells of a row of resource quotas, as kubectl 1.32 prints them."""

from __future__ import annotations

from kubelab.api.core.v1 import limits_pb2
from kubelab.apiserver.printers.cells import age


def row(quota: limits_pb2.ResourceQuota, now: float) -> list[str]:
    requests: list[str] = []
    limits: list[str] = []
    for name in sorted(quota.status.hard):
        used = quota.status.used[name].string if name in quota.status.used else "0"
        shown = f"{name}: {used}/{quota.status.hard[name].string}"
        (limits if name.startswith("limits.") else requests).append(shown)
    m = quota.metadata
    return [m.name, ", ".join(requests), ", ".join(limits), age(m.creationTimestamp, now)]

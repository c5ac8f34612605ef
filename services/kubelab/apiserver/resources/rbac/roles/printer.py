"""The cells of a row of roles, as kubectl 1.32 prints them."""

from __future__ import annotations

from kubelab.api.rbac.v1 import rbac_pb2
from kubelab.apimachinery.timestamps import format_time


def row(role: rbac_pb2.Role, now: float) -> list[str]:
    del now
    m = role.metadata
    return [m.name, format_time(m.creationTimestamp) if m.HasField("creationTimestamp") else "<unknown>"]

"""The cells of a row of leases, as kubectl 1.32 prints them."""

from __future__ import annotations

from kubelab.api.coordination.v1 import coordination_pb2
from kubelab.apiserver.printers.cells import age


def row(lease: coordination_pb2.Lease, now: float) -> list[str]:
    return [lease.metadata.name, lease.spec.holderIdentity, age(lease.metadata.creationTimestamp, now)]

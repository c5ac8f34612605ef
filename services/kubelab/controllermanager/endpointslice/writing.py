"""Carry a plan out: slices are created, updated and deleted, and awaited in the cache."""

from __future__ import annotations

from collections.abc import Iterable

from kubelab.api.discovery.v1 import discovery_pb2
from kubelab.api.meta.v1 import meta_pb2
from kubelab.apimachinery.errors import NAMESPACE_TERMINATING, ApiError, NotFound, has_cause
from kubelab.apimachinery.scheme import ENDPOINT_SLICES
from kubelab.client.client import Client
from kubelab.controllermanager.endpointslice.packing import MANAGED_BY, SERVICE_NAME, Plan
from kubelab.controllermanager.expectations import Expectations


def slices_by_service(slice_: discovery_pb2.EndpointSlice) -> Iterable[str]:
    """BY_SERVICE: ``namespace/name`` of the service that a slice is of."""
    name = slice_.metadata.labels.get(SERVICE_NAME)
    return (f"{slice_.metadata.namespace}/{name}",) if name else ()


def is_managed_by(slice_: discovery_pb2.EndpointSlice, manager: str) -> bool:
    """Say whether a controller of this name keeps a slice."""
    return slice_.metadata.labels.get(MANAGED_BY) == manager


async def carry_out(
    client: Client,
    expectations: Expectations[discovery_pb2.EndpointSlice],
    key: str,
    plan: Plan,
    metadata: meta_pb2.ObjectMeta,
) -> None:
    """Write what a plan says. ``metadata`` is what new slices begin with: namespace, generateName, labels, owner."""
    for slice_ in plan.create:
        slice_.metadata.CopyFrom(metadata)
        try:
            expectations.created(key, await client.create(slice_))
        except ApiError as err:
            if not has_cause(err, NAMESPACE_TERMINATING):
                raise
            return
    for slice_ in plan.update:
        expectations.created(key, await client.update(slice_))
    for slice_ in plan.delete:
        m = slice_.metadata
        expectations.deleted(key, slice_)
        try:
            await client.delete(ENDPOINT_SLICES, m.name, m.namespace, uid=m.uid)
        except NotFound:
            continue

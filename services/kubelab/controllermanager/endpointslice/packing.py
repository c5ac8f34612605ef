"""How endpoints are spread over slices: pure functions of what there is and what there shall be.

After upstream's ``endpointslice/reconciler.go``: an endpoint stays in its slice, and as few slices as possible change.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, MutableMapping, Sequence
from typing import NamedTuple

from kubelab.api.discovery.v1 import discovery_pb2
from kubelab.apimachinery.messages import deep_copy

MAX_ENDPOINTS = 100
SERVICE_NAME, MANAGED_BY = "kubernetes.io/service-name", "endpointslice.kubernetes.io/managed-by"
HEADLESS = "service.kubernetes.io/headless"
SKIP_MIRROR = "endpointslice.kubernetes.io/skip-mirror"

Port = tuple[str, int, str, str]
"""Name, number, protocol, application protocol."""


class Group(NamedTuple):
    """What all endpoints of a slice have in common. A slice without endpoints may have no ports."""

    address_type: str
    ports: tuple[Port, ...]


Desired = Mapping[Group, Mapping[str, discovery_pb2.Endpoint]]
"""Endpoints by what tells them apart: the uid of a pod, or an address."""


class Plan(NamedTuple):
    """What has to be written so that the slices are right. New slices have neither metadata nor a name yet."""

    create: list[discovery_pb2.EndpointSlice]
    update: list[discovery_pb2.EndpointSlice]
    delete: list[discovery_pb2.EndpointSlice]


def group_of(slice_: discovery_pb2.EndpointSlice) -> Group:
    """Give the group that a slice belongs to."""
    ports = tuple((port.name, port.port, port.protocol, port.appProtocol) for port in slice_.ports)
    return Group(slice_.addressType, tuple(sorted(ports)))


def key_of_endpoint(endpoint: discovery_pb2.Endpoint) -> str:
    """Tell an endpoint from others: by its pod, else by its address."""
    return endpoint.targetRef.uid or next(iter(endpoint.addresses), "")


def plan(
    desired: Desired,
    existing: Sequence[discovery_pb2.EndpointSlice],
    labels: Mapping[str, str],
    placeholder: Group | None = None,
) -> Plan:
    """Compare. ``labels`` are what every slice shall have. With a ``placeholder`` one slice without endpoints stays
    where there are none at all."""
    wanted = {group: dict(endpoints) for group, endpoints in desired.items() if endpoints}
    if not wanted and placeholder is not None:
        wanted = {placeholder: {}}
    by_group: defaultdict[Group, list[discovery_pb2.EndpointSlice]] = defaultdict(list)
    for slice_ in existing:
        by_group[group_of(slice_)].append(slice_)
    result = Plan([], [], [])
    for group, slices in by_group.items():
        if group not in wanted:
            result.delete.extend(slices)
    for group, endpoints in wanted.items():
        _plan_group(group, endpoints, by_group.get(group, []), labels, result)
    return result


def _plan_group(
    group: Group,
    missing: MutableMapping[str, discovery_pb2.Endpoint],
    slices: Sequence[discovery_pb2.EndpointSlice],
    labels: Mapping[str, str],
    result: Plan,
) -> None:
    empty = not missing
    kept = [
        [missing.pop(key) for endpoint in slice_.endpoints if (key := key_of_endpoint(endpoint)) in missing]
        for slice_ in slices
    ]
    changed = [endpoints != list(slice_.endpoints) for slice_, endpoints in zip(slices, kept, strict=True)]
    rest = list(missing.values())
    for number, endpoints in enumerate(kept):  # a slice that is written anyway takes what it has room for
        if changed[number] and rest:
            room = MAX_ENDPOINTS - len(endpoints)
            endpoints += rest[:room]
            del rest[:room]
    if rest:  # then one that has room for all, else a new one
        for number, endpoints in enumerate(kept):
            if not changed[number] and len(endpoints) + len(rest) <= MAX_ENDPOINTS:
                endpoints += rest
                changed[number], rest = True, []
                break
    stays = empty
    for slice_, endpoints, is_changed in zip(slices, kept, changed, strict=True):
        if not endpoints and not stays:
            result.delete.append(slice_)
            continue
        if is_changed or dict(slice_.metadata.labels) != dict(labels):
            result.update.append(_with(slice_, endpoints, labels))
        stays = False  # of slices without endpoints one is enough
    if empty and not slices:
        result.create.append(_new(group, []))
    for start in range(0, len(rest), MAX_ENDPOINTS):
        result.create.append(_new(group, rest[start : start + MAX_ENDPOINTS]))


def _with(
    slice_: discovery_pb2.EndpointSlice, endpoints: Sequence[discovery_pb2.Endpoint], labels: Mapping[str, str]
) -> discovery_pb2.EndpointSlice:
    changed = deep_copy(slice_)
    changed.ClearField("endpoints")
    changed.endpoints.extend(endpoints)
    changed.metadata.labels.clear()
    changed.metadata.labels.update(labels)
    return changed


def _new(group: Group, endpoints: Sequence[discovery_pb2.Endpoint]) -> discovery_pb2.EndpointSlice:
    made = discovery_pb2.EndpointSlice(addressType=group.address_type, endpoints=endpoints)
    for name, number, protocol, application in group.ports:
        port = made.ports.add(name=name, port=number, protocol=protocol)
        if application:
            port.appProtocol = application
    return made

"""Nodes: taints, addresses for pods, amounts (upstream: ValidateNode, ValidateNodeUpdate)."""

from __future__ import annotations

from collections.abc import Mapping

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import names
from kubelab.apimachinery.errors import Cause
from kubelab.apimachinery.taints import NO_SCHEDULE, NOT_READY
from kubelab.apiserver.strategies import addresses, causes, resources
from kubelab.apiserver.strategies.base import Strategy
from kubelab.apiserver.strategies.podspec import EFFECTS

_CIDR_FIXED = 'node updates may not change podCIDR except from "" to valid'
_PROVIDER_FIXED = 'node updates may not change providerID except from "" to valid'

_IP_ADDRESSES = ("InternalIP", "ExternalIP")
_IPV4_FIRST = "must be an IPv4 CIDR: pods of kubelab have IPv4 addresses"


class NodeStrategy(Strategy[core_pb2.Node]):
    def default(self, obj: core_pb2.Node) -> None:
        spec, status = obj.spec, obj.status
        if spec.podCIDR and (not spec.podCIDRs or spec.podCIDRs[0] != spec.podCIDR):
            spec.podCIDRs[:] = [spec.podCIDR]  # of two that differ the first counts, as upstream
        elif spec.podCIDRs and not spec.podCIDR:
            spec.podCIDR = spec.podCIDRs[0]
        if status.capacity and not status.allocatable:
            for name, amount in status.capacity.items():
                status.allocatable[name].CopyFrom(amount)
        resources.store(status.capacity)
        resources.store(status.allocatable)

    def prepare_for_create(self, obj: core_pb2.Node) -> None:
        """A kubelet registers its node together with what it says of it: the status stays.

        No pod is scheduled before the node lifecycle controller has seen that the node is ready and takes the taint
        away, as upstream's admission plugin TaintNodesByCondition has it.
        """
        obj.metadata.generation = 0
        if not any((t.key, t.effect) == (NOT_READY, NO_SCHEDULE) for t in obj.spec.taints):
            obj.spec.taints.add(key=NOT_READY, effect=NO_SCHEDULE)

    def validate_content(self, obj: core_pb2.Node) -> list[Cause]:
        return [*_taints(obj), *_amounts(obj), *_pod_cidrs(obj), *_status(obj)]

    def validate_update(self, obj: core_pb2.Node, old: core_pb2.Node) -> list[Cause]:
        complaints = [*self.validate_metadata_update(obj, old), *self.validate(obj), *_changes(obj, old)]
        return list(dict.fromkeys(complaints))

    def validate_status_update(self, obj: core_pb2.Node, old: core_pb2.Node) -> list[Cause]:
        return [*self.validate_metadata_update(obj, old), *_amounts(obj), *_status(obj), *_changes(obj, old)]

    def selectable_fields(self, obj: core_pb2.Node) -> Mapping[str, str]:
        return {
            "metadata.name": obj.metadata.name,
            "spec.unschedulable": "true" if obj.spec.unschedulable else "false",
        }


def _changes(obj: core_pb2.Node, old: core_pb2.Node) -> list[Cause]:
    """Complaints about what may not become what, and about addresses, which a new node may have twice."""
    complaints: list[Cause] = []
    seen: set[tuple[str, str]] = set()
    for i, address in enumerate(obj.status.addresses):
        key = (address.type, address.address)
        if key in seen:
            shown = f"core.NodeAddress{{Type:{causes.quoted(key[0])}, Address:{causes.quoted(key[1])}}}"
            complaints.append(causes.duplicate(f"status.addresses[{i}]", causes.Raw(shown)))
        seen.add(key)
    if old.spec.podCIDRs and list(obj.spec.podCIDRs) != list(old.spec.podCIDRs):
        complaints.append(causes.forbidden("spec.podCIDRs", _CIDR_FIXED))
    if old.spec.providerID and obj.spec.providerID != old.spec.providerID:
        complaints.append(causes.forbidden("spec.providerID", _PROVIDER_FIXED))
    return complaints


def _status(obj: core_pb2.Node) -> list[Cause]:
    """Complaints about where a node says that it can be reached: the others make routes and connections of it.

    Upstream takes any text there. Node addresses of kubelab are IPv4, as are the networks of its pods.
    """
    complaints: list[Cause] = []
    for i, address in enumerate(obj.status.addresses):
        if address.type in _IP_ADDRESSES:
            complaints += addresses.valid(f"status.addresses[{i}].address", address.address)
    port = obj.status.daemonEndpoints.kubeletEndpoint.Port
    if port:
        complaints += causes.each("status.daemonEndpoints.kubeletEndpoint.Port", port, names.port_number(port))
    return complaints


def _taints(obj: core_pb2.Node) -> list[Cause]:
    complaints: list[Cause] = []
    seen: set[tuple[str, str]] = set()
    for i, taint in enumerate(obj.spec.taints):
        field = f"metadata.taints[{i}]"  # upstream's path, though they are in the spec
        complaints += causes.each(f"{field}.key", taint.key, names.qualified_name(taint.key))
        if problems := names.label_value(taint.value):
            complaints.append(causes.invalid(f"{field}.value", taint.value, ";".join(problems)))
        complaints += causes.one_of(f"{field}.effect", taint.effect, EFFECTS)
        if (taint.key, taint.effect) in seen:
            key, value, effect = (causes.quoted(word) for word in (taint.key, taint.value, taint.effect))
            shown = f"core.Taint{{Key:{key}, Value:{value}, Effect:{effect}, TimeAdded:<nil>}}"
            complaints.append(
                causes.duplicate(field, causes.Raw(shown), "taints must be unique by key and effect pair")
            )
        seen.add((taint.key, taint.effect))
    return complaints


def _amounts(obj: core_pb2.Node) -> list[Cause]:
    complaints: list[Cause] = []
    for side, amounts in (("capacity", obj.status.capacity), ("allocatable", obj.status.allocatable)):
        for name in sorted(amounts):
            complaints += resources.amount(name, amounts[name].string, f"status.{side}.{name}")
    return complaints


def _pod_cidrs(obj: core_pb2.Node) -> list[Cause]:
    complaints: list[Cause] = []
    cidrs = list(obj.spec.podCIDRs)
    for i, cidr in enumerate(cidrs):
        complaints += addresses.valid_cidr(f"spec.podCIDRs[{i}]", cidr)
    if not complaints and cidrs and ":" in cidrs[0]:
        complaints.append(causes.invalid("spec.podCIDRs[0]", cidrs[0], _IPV4_FIRST))
    if complaints or len(cidrs) < 2:
        return complaints
    if addresses.one_per_family("", [cidr.partition("/")[0] for cidr in cidrs], cidrs):
        message = "may specify no more than one CIDR for each IP family"
        complaints.append(causes.invalid("spec.podCIDRs", cidrs, message))
    for i, cidr in enumerate(cidrs):
        if cidr in cidrs[:i]:
            complaints.append(causes.duplicate(f"spec.podCIDRs[{i}]", cidr))
    return complaints

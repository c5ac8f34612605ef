"""The resources whose rules are short: nodes, namespaces, endpoints, events, leases, config maps, secrets."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping

from kubelab.api.coordination.v1 import coordination_pb2
from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import names
from kubelab.apimachinery.errors import Cause
from kubelab.apiserver.strategies import causes
from kubelab.apiserver.strategies.base import Strategy
from kubelab.apiserver.strategies.podspec import EFFECTS

MAX_DATA = 1024 * 1024  # bytes of a config map's or secret's values together
NAME_LABEL = "kubernetes.io/metadata.name"


class NodeStrategy(Strategy[core_pb2.Node]):
    def prepare_for_create(self, obj: core_pb2.Node) -> None:
        """A kubelet registers its node together with what it says of it: the status stays."""

    def prepare_for_update(self, obj: core_pb2.Node, old: core_pb2.Node) -> None:
        super().prepare_for_update(obj, old)
        obj.metadata.generation = old.metadata.generation

    def default(self, obj: core_pb2.Node) -> None:
        if obj.spec.podCIDR and not obj.spec.podCIDRs:
            obj.spec.podCIDRs.append(obj.spec.podCIDR)

    def validate_content(self, obj: core_pb2.Node) -> list[Cause]:
        found: list[Cause] = []
        seen: set[tuple[str, str]] = set()
        for i, taint in enumerate(obj.spec.taints):
            field = f"spec.taints[{i}]"
            found += causes.each(f"{field}.key", taint.key, names.qualified_name(taint.key))
            found += causes.each(f"{field}.value", taint.value, names.label_value(taint.value))
            if not taint.effect:
                found.append(causes.required(f"{field}.effect"))
            elif taint.effect not in EFFECTS:
                found.append(causes.unsupported(f"{field}.effect", taint.effect, EFFECTS))
            if (taint.key, taint.effect) in seen:
                found.append(causes.duplicate(field, f"{taint.key}:{taint.effect}"))
            seen.add((taint.key, taint.effect))
        for i, cidr in enumerate(obj.spec.podCIDRs):
            try:
                ipaddress.ip_network(cidr)
            except ValueError:
                told = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
                found.append(causes.invalid(f"spec.podCIDRs[{i}]", cidr, told))
        return found

    def validate_update(self, obj: core_pb2.Node, old: core_pb2.Node) -> list[Cause]:
        found = super().validate_update(obj, old)
        if old.spec.podCIDR and obj.spec.podCIDR != old.spec.podCIDR:
            told = 'node updates may not change podCIDR except from "" to valid'
            found.append(causes.forbidden("spec.podCIDRs", told))
        return found

    def selectable_fields(self, obj: core_pb2.Node) -> Mapping[str, str]:
        return {
            "metadata.name": obj.metadata.name,
            "spec.unschedulable": "true" if obj.spec.unschedulable else "false",
        }


class NamespaceStrategy(Strategy[core_pb2.Namespace]):
    check_name = staticmethod(names.dns_label)

    def default(self, obj: core_pb2.Namespace) -> None:
        name = obj.metadata.name
        if name and obj.metadata.labels.get(NAME_LABEL) != name:
            obj.metadata.labels[NAME_LABEL] = name

    def prepare_for_create(self, obj: core_pb2.Namespace) -> None:
        super().prepare_for_create(obj)
        obj.metadata.generation = 0
        self.default(obj)  # a generated name is only known by now
        obj.status.phase = "Active"
        if "kubernetes" not in obj.spec.finalizers:
            obj.spec.finalizers.append("kubernetes")

    def prepare_for_update(self, obj: core_pb2.Namespace, old: core_pb2.Namespace) -> None:
        super().prepare_for_update(obj, old)
        obj.metadata.generation = 0
        obj.spec.CopyFrom(old.spec)  # finalizers change by the finalize subresource alone

    def selectable_fields(self, obj: core_pb2.Namespace) -> Mapping[str, str]:
        return {"metadata.name": obj.metadata.name, "status.phase": obj.status.phase}


class EndpointsStrategy(Strategy[core_pb2.Endpoints]):
    def validate_content(self, obj: core_pb2.Endpoints) -> list[Cause]:
        found: list[Cause] = []
        for i, subset in enumerate(obj.subsets):
            field = f"subsets[{i}]"
            if not subset.addresses and not subset.notReadyAddresses:
                found.append(causes.required(field, "must specify `addresses` or `notReadyAddresses`"))
            for kind, addresses in (("addresses", subset.addresses), ("notReadyAddresses", subset.notReadyAddresses)):
                for j, address in enumerate(addresses):
                    found += _address(f"{field}.{kind}[{j}].ip", address.ip)
            for j, port in enumerate(subset.ports):
                if len(subset.ports) > 1 and not port.name:
                    found.append(causes.required(f"{field}.ports[{j}].name"))
                found += causes.each(f"{field}.ports[{j}].port", port.port, names.port_number(port.port))
        return found


def _address(field: str, text: str) -> list[Cause]:
    try:
        ip = ipaddress.ip_address(text)
    except ValueError:
        return [causes.invalid(field, text, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)")]
    if ip.is_loopback:
        return [causes.invalid(field, text, "may not be in the loopback range (127.0.0.0/8, ::1/128)")]
    return []


class EventStrategy(Strategy[core_pb2.Event]):
    def default(self, obj: core_pb2.Event) -> None:
        obj.reportingComponent = obj.reportingComponent or obj.source.component

    def validate_content(self, obj: core_pb2.Event) -> list[Cause]:
        involved = obj.involvedObject.namespace
        if obj.metadata.namespace != (involved or "default"):
            return [causes.invalid("involvedObject.namespace", involved, "does not match event.namespace")]
        return []

    def selectable_fields(self, obj: core_pb2.Event) -> Mapping[str, str]:
        about = obj.involvedObject
        return {
            "metadata.name": obj.metadata.name,
            "metadata.namespace": obj.metadata.namespace,
            "involvedObject.kind": about.kind,
            "involvedObject.namespace": about.namespace,
            "involvedObject.name": about.name,
            "involvedObject.uid": about.uid,
            "involvedObject.apiVersion": about.apiVersion,
            "involvedObject.resourceVersion": about.resourceVersion,
            "involvedObject.fieldPath": about.fieldPath,
            "reason": obj.reason,
            "reportingComponent": obj.reportingComponent,
            "source": obj.source.component,
            "type": obj.type,
        }


class LeaseStrategy(Strategy[coordination_pb2.Lease]):
    def prepare_for_create(self, obj: coordination_pb2.Lease) -> None:
        """Leases have no generations."""

    def prepare_for_update(self, obj: coordination_pb2.Lease, old: coordination_pb2.Lease) -> None:
        """Leases have no generations."""

    def validate_content(self, obj: coordination_pb2.Lease) -> list[Cause]:
        spec = obj.spec
        found: list[Cause] = []
        if spec.HasField("leaseDurationSeconds") and spec.leaseDurationSeconds <= 0:
            told = "must be greater than 0"
            found.append(causes.invalid("spec.leaseDurationSeconds", spec.leaseDurationSeconds, told))
        if spec.HasField("leaseTransitions"):
            found += causes.non_negative("spec.leaseTransitions", spec.leaseTransitions)
        return found


class ConfigMapStrategy(Strategy[core_pb2.ConfigMap]):
    def validate_content(self, obj: core_pb2.ConfigMap) -> list[Cause]:
        found: list[Cause] = []
        for key in sorted(obj.data):
            found += causes.each(f"data[{key}]", key, names.config_key(key))
            if key in obj.binaryData:
                found.append(causes.invalid(f"data[{key}]", key, "duplicate of key present in binaryData"))
        for key in sorted(obj.binaryData):
            found += causes.each(f"binaryData[{key}]", key, names.config_key(key))
        size = sum(len(v.encode()) for v in obj.data.values()) + sum(map(len, obj.binaryData.values()))
        if size > MAX_DATA:
            found.append(causes.too_long("", MAX_DATA))
        return found

    def validate_update(self, obj: core_pb2.ConfigMap, old: core_pb2.ConfigMap) -> list[Cause]:
        found = super().validate_update(obj, old)
        if old.immutable and (not obj.immutable or obj.data != old.data or obj.binaryData != old.binaryData):
            told = "field is immutable when `immutable` is set"
            found.append(causes.forbidden("data" if obj.immutable else "immutable", told))
        return found


class SecretStrategy(Strategy[core_pb2.Secret]):
    def default(self, obj: core_pb2.Secret) -> None:
        obj.type = obj.type or "Opaque"
        for key, text in obj.stringData.items():
            obj.data[key] = text.encode()
        obj.ClearField("stringData")

    def validate_content(self, obj: core_pb2.Secret) -> list[Cause]:
        found: list[Cause] = []
        for key in sorted(obj.data):
            found += causes.each(f"data[{key}]", key, names.config_key(key))
        if sum(map(len, obj.data.values())) > MAX_DATA:
            found.append(causes.too_long("data", MAX_DATA))
        return found

    def validate_update(self, obj: core_pb2.Secret, old: core_pb2.Secret) -> list[Cause]:
        found = super().validate_update(obj, old)
        if obj.type != old.type:
            found.append(causes.immutable("type", obj.type))
        if old.immutable and (not obj.immutable or obj.data != old.data):
            told = "field is immutable when `immutable` is set"
            found.append(causes.forbidden("data" if obj.immutable else "immutable", told))
        return found

    def selectable_fields(self, obj: core_pb2.Secret) -> Mapping[str, str]:
        return {"metadata.name": obj.metadata.name, "metadata.namespace": obj.metadata.namespace, "type": obj.type}

"""Network policies: selectors, ports and ranges of addresses (upstream's ValidateNetworkPolicySpec)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from kubelab.api.networking.v1 import networking_pb2
from kubelab.apimachinery import names
from kubelab.apimachinery.errors import Cause
from kubelab.apiserver.strategies import addresses, causes, labelselectors
from kubelab.apiserver.strategies.base import Strategy

INGRESS, EGRESS = "Ingress", "Egress"
_PROTOCOLS = ("SCTP", "TCP", "UDP")
NOT_FILTERED = "kubelab filters no traffic: pods stay reachable as if there were no NetworkPolicy"
Ports = Sequence[networking_pb2.NetworkPolicyPort]
Peers = Sequence[networking_pb2.NetworkPolicyPeer]


class NetworkPolicyStrategy(Strategy[networking_pb2.NetworkPolicy]):
    has_generation: ClassVar[bool] = True
    warns_of_updates: ClassVar[bool] = True

    def default(self, obj: networking_pb2.NetworkPolicy) -> None:
        spec = obj.spec
        for rule in (*spec.ingress, *spec.egress):
            for port in rule.ports:
                if not port.HasField("protocol"):
                    port.protocol = "TCP"
        if not spec.policyTypes:
            spec.policyTypes.extend([INGRESS, EGRESS] if spec.egress else [INGRESS])

    def warnings(self, obj: networking_pb2.NetworkPolicy) -> list[str]:
        return [NOT_FILTERED, *super().warnings(obj)]

    def validate_content(self, obj: networking_pb2.NetworkPolicy) -> list[Cause]:
        spec = obj.spec
        complaints = labelselectors.validate(spec.podSelector, "spec.podSelector")
        for number, rule in enumerate(spec.ingress):
            complaints += _ports(rule.ports, f"spec.ingress[{number}].ports")
            complaints += _peers(getattr(rule, "from"), f"spec.ingress[{number}].from")
        for number, rule in enumerate(spec.egress):
            complaints += _ports(rule.ports, f"spec.egress[{number}].ports")
            complaints += _peers(rule.to, f"spec.egress[{number}].to")
        if len(spec.policyTypes) > 2:
            types = list(spec.policyTypes)
            complaints.append(causes.invalid("spec.policyTypes", types, "may not specify more than two policyTypes"))
            return complaints
        for number, kind in enumerate(spec.policyTypes):
            if kind not in (INGRESS, EGRESS):
                complaints.append(causes.unsupported(f"spec.policyTypes[{number}]", kind, sorted((INGRESS, EGRESS))))
        return complaints


def _ports(ports: Ports, field: str) -> list[Cause]:
    complaints: list[Cause] = []
    for number, port in enumerate(ports):
        here = f"{field}[{number}]"
        if port.HasField("protocol") and port.protocol not in _PROTOCOLS:
            complaints.append(causes.unsupported(f"{here}.protocol", port.protocol, _PROTOCOLS))
        if not port.HasField("port"):
            if port.HasField("endPort"):
                complaints.append(causes.required(f"{here}.port", "must be specified when `endPort` is specified"))
        elif port.port.type == 1:
            complaints += causes.each(f"{here}.port", port.port.strVal, names.port_name(port.port.strVal))
            if port.HasField("endPort"):
                what = "may not be specified when `port` is non-numeric"
                complaints.append(causes.invalid(f"{here}.endPort", port.endPort, what))
        else:
            complaints += causes.each(f"{here}.port", port.port.intVal, names.port_number(port.port.intVal))
            if port.HasField("endPort"):
                if port.endPort < port.port.intVal:
                    what = "must be greater than or equal to `port`"
                    complaints.append(causes.invalid(f"{here}.endPort", port.endPort, what))
                complaints += causes.each(f"{here}.endPort", port.endPort, names.port_number(port.endPort))
    return complaints


def _peers(peers: Peers, field: str) -> list[Cause]:
    complaints: list[Cause] = []
    for number, peer in enumerate(peers):
        here = f"{field}[{number}]"
        selectors = [name for name in ("podSelector", "namespaceSelector") if peer.HasField(name)]  # pyright: ignore[reportArgumentType]
        for name in selectors:
            complaints += labelselectors.validate(getattr(peer, name), f"{here}.{name}")
        if peer.HasField("ipBlock"):
            complaints += _block(peer.ipBlock, f"{here}.ipBlock")
        if not selectors and not peer.HasField("ipBlock"):
            complaints.append(causes.required(here, "must specify a peer"))
        elif selectors and peer.HasField("ipBlock"):
            complaints.append(causes.forbidden(here, "may not specify both ipBlock and another peer"))
    return complaints


def _block(block: networking_pb2.IPBlock, field: str) -> list[Cause]:
    if not block.cidr:
        return [causes.required(f"{field}.cidr")]
    complaints = addresses.valid_cidr(f"{field}.cidr", block.cidr)
    for number, part in enumerate(getattr(block, "except")):
        here = f"{field}.except[{number}]"
        wrong = addresses.valid_cidr(here, part)
        complaints += wrong
        if not wrong and not complaints and not addresses.is_strict_subnet(part, block.cidr):
            complaints.append(causes.invalid(here, part, "must be a strict subset of `cidr`"))
    return complaints

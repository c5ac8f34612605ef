"""Ingresses with the endpoints of their backends, and network policies."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kubelab.api.core.v1 import core_pb2
from kubelab.api.networking.v1 import networking_pb2
from kubelab.apimachinery import intstr, labelselectors
from kubelab.apimachinery.timestamps import from_time
from kubelab.kctl.describe import events
from kubelab.kctl.describe.writer import NONE, Writer, created_on

Events = Sequence[core_pb2.Event] | None
_INDENT = "    "
Peers = Sequence[networking_pb2.NetworkPolicyPeer]
Ports = Sequence[networking_pb2.NetworkPolicyPort]


def backend_name(backend: networking_pb2.IngressServiceBackend) -> str:
    """``web:80``, or ``web:http``."""
    return f"{backend.name}:{backend.port.number or backend.port.name}"


def ingress(
    obj: networking_pb2.Ingress,
    behind: Callable[[networking_pb2.IngressServiceBackend], str],
    object_events: Events,
    now: float,
) -> str:
    """Describe an ingress. ``behind`` gives the endpoints of a backend, or why there are none."""

    def shown(backend: networking_pb2.IngressBackend) -> str:
        if backend.HasField("service"):
            return f"{backend_name(backend.service)} ({behind(backend.service)})"
        resource = backend.resource
        return f"APIGroup: {resource.apiGroup or NONE}, Kind: {resource.kind}, Name: {resource.name}"

    w, spec = Writer(), obj.spec
    w.field("Name", obj.metadata.name)
    w.labels("Labels", obj.metadata.labels)
    w.field("Namespace", obj.metadata.namespace)
    w.field("Address", ",".join(point.ip or point.hostname for point in obj.status.loadBalancer.ingress))
    w.field("Ingress Class", spec.ingressClassName if spec.HasField("ingressClassName") else NONE)
    default = shown(spec.defaultBackend) if spec.HasField("defaultBackend") else "<default>"
    w.field("Default backend", default)
    if spec.tls:
        w.line("TLS:")
        for tls in spec.tls:
            hosts = ",".join(tls.hosts)
            w.line(f"{tls.secretName} terminates {hosts}" if tls.secretName else f"SNI routes {hosts}", 1)
    w.line("Rules:")
    w.line("Host\tPath\tBackends", 1)
    w.line("----\t----\t--------", 1)
    rules = [rule for rule in spec.rules if rule.ingressRuleValue.HasField("http")]
    for rule in rules:
        w.line(f"{rule.host or '*'}\t", 1)
        for path in rule.ingressRuleValue.http.paths:
            w.line(f"\t{path.path} \t{shown(path.backend)}", 2)
    if not rules:
        w.line(f"*\t*\t{default}", 1)
    w.annotations("Annotations", obj.metadata.annotations)
    if object_events is not None:
        events.write(w, object_events, now)
    return w.render()


def network_policy(policy: networking_pb2.NetworkPolicy) -> str:
    """Describe a network policy."""
    w, m, spec = Writer(), policy.metadata, policy.spec
    w.field("Name", m.name)
    w.field("Namespace", m.namespace)
    w.field("Created on", created_on(from_time(m.creationTimestamp)))
    w.labels("Labels", m.labels)
    w.annotations("Annotations", m.annotations)
    w.line("Spec:")
    selector = labelselectors.text(spec.podSelector)
    everything = "<none> (Allowing the specific traffic to all pods in this namespace)"
    w.line(f"  PodSelector:     {everything if selector == NONE else selector}")
    if not spec.policyTypes or "Ingress" in spec.policyTypes:
        w.line("Allowing ingress traffic:", 1)
        _direction(w, [(rule.ports, getattr(rule, "from")) for rule in spec.ingress], "ingress", "From", "source")
    else:
        w.line("Not affecting ingress traffic", 1)
    if "Egress" in spec.policyTypes or (not spec.policyTypes and spec.egress):
        w.line("Allowing egress traffic:", 1)
        _direction(w, [(rule.ports, rule.to) for rule in spec.egress], "egress", "To", "destination")
    else:
        w.line("Not affecting egress traffic", 1)
    w.line(f"Policy Types: {', '.join(spec.policyTypes)}", 1)
    return w.render()


def _direction(w: Writer, rules: Sequence[tuple[Ports, Peers]], direction: str, where: str, what: str) -> None:
    if not rules:
        w.line(f"{_INDENT}<none> (Selected pods are isolated for {direction} connectivity)")
    for number, (ports, peers) in enumerate(rules):
        if number:
            w.line(f"{_INDENT}----------")
        if not ports:
            w.line(f"{_INDENT}To Port: <any> (traffic allowed to all ports)")
        for port in ports:
            w.line(f"{_INDENT}To Port: {intstr.text(port.port)}/{port.protocol or 'TCP'}")
        if not peers:
            w.line(f"{_INDENT}{where}: <any> (traffic not restricted by {what})")
        for peer in peers:
            w.line(f"{_INDENT}{where}:")
            _peer(w, peer)


def _peer(w: Writer, peer: networking_pb2.NetworkPolicyPeer) -> None:
    if peer.HasField("namespaceSelector"):
        w.line(f"{_INDENT}NamespaceSelector: {labelselectors.text(peer.namespaceSelector)}", 1)
    if peer.HasField("podSelector"):
        w.line(f"{_INDENT}PodSelector: {labelselectors.text(peer.podSelector)}", 1)
    if peer.HasField("ipBlock"):
        w.line(f"{_INDENT}IPBlock:", 1)
        w.line(f"{_INDENT}CIDR: {peer.ipBlock.cidr}", 2)
        w.line(f"{_INDENT}Except: {', '.join(getattr(peer.ipBlock, 'except'))}", 2)

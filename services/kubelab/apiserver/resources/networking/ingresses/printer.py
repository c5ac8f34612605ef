"""The cells of a row of ingresses, as kubectl 1.32 prints them."""

from __future__ import annotations

from kubelab.api.networking.v1 import networking_pb2
from kubelab.apiserver.printers.cells import NONE, age

SHOWN_HOSTS = 3
CLASS_ANNOTATION = "kubernetes.io/ingress.class"  # the older way to name the class


def row(ingress: networking_pb2.Ingress, now: float) -> list[str]:
    m, spec = ingress.metadata, ingress.spec
    kind = spec.ingressClassName if spec.HasField("ingressClassName") else m.annotations.get(CLASS_ANNOTATION, NONE)
    addresses = [point.ip or point.hostname for point in ingress.status.loadBalancer.ingress]
    return [
        m.name,
        kind,
        _hosts(spec),
        ",".join(dict.fromkeys(filter(None, addresses))),
        "80, 443" if spec.tls else "80",
        age(m.creationTimestamp, now),
    ]


def _hosts(spec: networking_pb2.IngressSpec) -> str:
    hosts = [rule.host for rule in spec.rules if rule.host]
    if not hosts:
        return "*"
    text, more = ",".join(hosts[:SHOWN_HOSTS]), len(hosts) - SHOWN_HOSTS
    return f"{text} + {more} more..." if more > 0 else text

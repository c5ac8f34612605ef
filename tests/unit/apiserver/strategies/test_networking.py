"""Ingresses, their classes, network policies and endpoint slices: what can be stored."""

from __future__ import annotations

from kubelab.apimachinery.manifest.decode import decode
from tests.unit.apiserver.strategies.answers import GONE, RULES, Change, on_create, on_update, table

INGRESS = """
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web, namespace: default}
spec:
  rules:
  - host: example.com
    http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}
"""
PATH = "spec.rules[0].http.paths[0]"


@table(
    ({},),
    ({"spec": {"defaultBackend": {"service": {"name": "web", "port": {"name": "http"}}}}},),
    (
        {"spec": {}},
        "spec: Invalid value: []networking.IngressRule(nil): either `defaultBackend` or `rules` must be specified",
    ),
    ({"spec.rules[0].host": "*.example.com"},),
    (
        {"spec.rules[0].host": "10.0.0.1"},
        'spec.rules[0].host: Invalid value: "10.0.0.1": must be a DNS name, not an IP address',
    ),
    (
        {f"{PATH}.pathType": "Some"},
        f'{PATH}.pathType: Unsupported value: "Some": supported values: "Exact", "ImplementationSpecific", "Prefix"',
    ),
    ({f"{PATH}.path": "a"}, f'{PATH}.path: Invalid value: "a": must be an absolute path'),
    (
        {f"{PATH}.path": "/a//b/.."},
        f"{PATH}.path: Invalid value: \"/a//b/..\": must not contain '//'",
        f"{PATH}.path: Invalid value: \"/a//b/..\": cannot end with '/..'",
    ),
    ({f"{PATH}.backend": {}}, f'{PATH}.backend: Invalid value: "": resource or service backend is required'),
    (
        {f"{PATH}.backend.service.port": {"name": "a", "number": 1}},
        f'{PATH}.backend: Invalid value: "": cannot set both port name & port number',
    ),
    ({f"{PATH}.backend.service.port": {}}, f"{PATH}.backend: Required value: port name or number is required"),
)
def test_ingresses(change: Change, told: list[str]) -> None:
    assert on_create(INGRESS, change) == told


CLASS = """
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: outside}
spec: {controller: example.com/ingress}
"""


@table(
    ({},),
    ({"spec.controller": GONE}, "spec.controller: Required value"),
    (
        {"spec.controller": "ingress"},
        'spec.controller: Invalid value: "ingress": must be a domain-prefixed path (such as "acme.io/foo")',
    ),
    (
        {"spec.parameters": {"kind": "K", "name": "web", "scope": "Namespace"}},
        "spec.parameters.namespace: Required value: `parameters.scope` is set to 'Namespace'",
    ),
)
def test_classes(change: Change, told: list[str]) -> None:
    assert on_create(CLASS, change) == told


@table(({"spec.controller": "a.b/c"}, 'spec.controller: Invalid value: "a.b/c": field is immutable'))
def test_a_class_keeps_its_controller(change: Change, told: list[str]) -> None:
    assert on_update(CLASS, change) == told


POLICY = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: deny, namespace: default}
spec:
  podSelector: {}
  ingress: [{ports: [{port: 80}], from: [{podSelector: {}}]}]
"""
PORT, PEER = "spec.ingress[0].ports[0]", "spec.ingress[0].from[0]"


@table(
    ({},),
    (
        {f"{PORT}.protocol": "ICMP"},
        f'{PORT}.protocol: Unsupported value: "ICMP": supported values: "SCTP", "TCP", "UDP"',
    ),
    ({f"{PORT}.port": 0}, f"{PORT}.port: Invalid value: 0: must be between 1 and 65535, inclusive"),
    ({f"{PORT}.endPort": 79}, f"{PORT}.endPort: Invalid value: 79: must be greater than or equal to `port`"),
    ({PEER: {}}, f"{PEER}: Required value: must specify a peer"),
    (
        {f"{PEER}.ipBlock": {"cidr": "10.0.0.0/8"}},
        f"{PEER}: Forbidden: may not specify both ipBlock and another peer",
    ),
    (
        {PEER: {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["11.0.0.0/16"]}}},
        f'{PEER}.ipBlock.except[0]: Invalid value: "11.0.0.0/16": must be a strict subset of `cidr`',
    ),
    (
        {"spec.policyTypes": ["Both"]},
        'spec.policyTypes[0]: Unsupported value: "Both": supported values: "Egress", "Ingress"',
    ),
)
def test_policies(change: Change, told: list[str]) -> None:
    assert on_create(POLICY, change) == told


def test_a_policy_says_that_it_filters_nothing() -> None:
    obj = decode(POLICY, "test")[0].obj
    warned = RULES["networkpolicies"].warnings(obj)
    assert warned[0] == "kubelab filters no traffic: pods stay reachable as if there were no NetworkPolicy"
    assert warned[1].startswith("spec: kubelab")
    assert RULES["ingresses"].warnings(decode(INGRESS, "test")[0].obj)[0].startswith("spec: kubelab")


SLICE = """
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, namespace: default}
addressType: IPv4
endpoints: [{addresses: [10.244.1.5]}]
ports: [{name: http, port: 80}]
"""


@table(
    ({},),
    ({"addressType": GONE}, "addressType: Required value"),
    ({"endpoints[0].addresses": []}, "endpoints[0].addresses: Required value: must contain at least 1 address"),
    (
        {"endpoints[0].addresses": ["::1"]},
        'endpoints[0].addresses[0]: Invalid value: "::1": must be a valid IPv4 address',
    ),
    ({"ports[1]": {"name": "http", "port": 81}}, 'ports[1].name: Duplicate value: "http"'),
    (
        {"ports[0].protocol": "ICMP"},
        'ports[0].protocol: Unsupported value: "ICMP": supported values: "SCTP", "TCP", "UDP"',
    ),
)
def test_slices(change: Change, told: list[str]) -> None:
    assert on_create(SLICE, change) == told


@table(({"addressType": "FQDN", "endpoints": []}, 'addressType: Invalid value: "FQDN": field is immutable'))
def test_a_slice_keeps_its_family(change: Change, told: list[str]) -> None:
    assert on_update(SLICE, change) == told

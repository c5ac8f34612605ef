"""Containers: names, images, ports, environment, resources."""

from __future__ import annotations

import pytest

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery import quantity
from kubelab.apiserver.strategies import resources
from kubelab.topology.reservedports import RESERVED
from tests.unit.apiserver.strategies.answers import (
    CONFIG_KEY,
    GONE,
    LABEL,
    NEGATIVE,
    NOT_IP,
    PORT,
    QUALIFIED,
    SUBDOMAIN,
    Change,
    on_create,
    table,
)

MANIFEST = """
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: default}
spec:
  containers:
  - {name: web, image: "nginx:1"}
"""
NET = "spec.hostNetwork"
FIELD = "spec.containers[0]"
ENV_NAME = "a valid environment variable name must consist only of printable ASCII characters other than '='"
PATHS = (
    '"metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName", '
    '"status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs"'
)


def at(change: Change) -> Change:
    return {f"{FIELD}.{path}": value for path, value in change.items()}


@table(
    ({"name": GONE}, "name: Required value"),
    ({"name": "Web"}, f'name: Invalid value: "Web": {LABEL}'),
    ({"name": "a.b"}, f'name: Invalid value: "a.b": {LABEL}'),
    ({"name": "a" * 64}, f'name: Invalid value: "{"a" * 64}": must be no more than 63 characters'),
    ({"image": GONE}, "image: Required value"),
    ({"image": "nginx "}, 'image: Invalid value: "nginx ": must not have leading or trailing whitespace'),
    (
        {"imagePullPolicy": "Sometimes"},
        'imagePullPolicy: Unsupported value: "Sometimes": supported values: "Always", "IfNotPresent", "Never"',
    ),
    (
        {"terminationMessagePolicy": "Sometimes"},
        'terminationMessagePolicy: Unsupported value: "Sometimes": supported values: "FallbackToLogsOnError", "File"',
    ),
    ({"terminationMessagePolicy": "FallbackToLogsOnError", "terminationMessagePath": "/tmp/why"},),
    (
        {"securityContext": {"runAsUser": -2, "runAsGroup": 2**32}},
        "securityContext.runAsUser: Invalid value: -2: must be between 0 and 2147483647, inclusive",
        "securityContext.runAsGroup: Invalid value: 4294967296: must be between 0 and 2147483647, inclusive",
    ),
    ({"securityContext": {"privileged": True, "runAsUser": 2**31 - 1}},),
)
def test_a_container(change: Change, told: list[str]) -> None:
    assert on_create(MANIFEST, at(change)) == [f"{FIELD}.{one}" for one in told]


@table(
    ({"containerPort": 80, "name": "http", "protocol": "UDP", "hostPort": 8080},),
    ({}, "containerPort: Required value"),
    ({"containerPort": 65536}, f"containerPort: Invalid value: 65536: {PORT}"),
    ({"containerPort": -1}, f"containerPort: Invalid value: -1: {PORT}"),
    ({"containerPort": 80, "hostPort": 70000}, f"hostPort: Invalid value: 70000: {PORT}"),
    (
        {"containerPort": 80, "protocol": "ICMP"},
        'protocol: Unsupported value: "ICMP": supported values: "SCTP", "TCP", "UDP"',
    ),
    (
        {"containerPort": 80, "name": "HTTP"},
        'name: Invalid value: "HTTP": must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)',
        'name: Invalid value: "HTTP": must contain at least one letter (a-z)',
    ),
    (
        {"containerPort": 80, "name": "-80--of-all-servers-"},
        'name: Invalid value: "-80--of-all-servers-": must be no more than 15 characters',
        'name: Invalid value: "-80--of-all-servers-": must not contain consecutive hyphens',
        'name: Invalid value: "-80--of-all-servers-": must not begin or end with a hyphen',
    ),
    ({"containerPort": 80, "name": "80"}, 'name: Invalid value: "80": must contain at least one letter (a-z)'),
)
def test_a_port(change: Change, told: list[str]) -> None:
    assert on_create(MANIFEST, at({"ports[0]": change})) == [f"{FIELD}.ports[0].{one}" for one in told]


@table(
    (
        {f"{FIELD}.ports": [{"containerPort": 80, "name": "a"}, {"containerPort": 81, "name": "a"}]},
        'spec.containers[0].ports[1].name: Duplicate value: "a"',
    ),
    (
        {"spec.containers[1]": {"name": "web", "image": "x"}},
        'spec.containers[1].name: Duplicate value: "web"',
    ),
    (
        {
            f"{FIELD}.ports": [{"containerPort": 80, "hostPort": 80}],
            "spec.containers[1]": {"name": "b", "image": "x", "ports": [{"containerPort": 81, "hostPort": 80}]},
        },
        'spec.containers[1].ports[0].hostPort: Duplicate value: "TCP//80"',
    ),
    (
        {
            f"{FIELD}.ports": [
                {"containerPort": 80, "hostPort": 80, "hostIP": "127.0.0.1"},
                {"containerPort": 81, "hostPort": 80, "hostIP": "127.0.0.2"},
            ]
        },
    ),
    (
        {f"{FIELD}.ports": [{"containerPort": 80, "hostPort": 80, "hostIP": "{ drop }"}]},
        f'spec.containers[0].ports[0].hostIP: Invalid value: "{{ drop }}": {NOT_IP}',
    ),
    ({"spec.hostNetwork": True, f"{FIELD}.ports": [{"containerPort": 80}]},),
    (
        {"spec.hostNetwork": True, f"{FIELD}.ports": [{"containerPort": 80, "hostPort": 81}]},
        "spec.containers[0].ports[0].hostPort: Invalid value: 81: must match `containerPort` when `hostNetwork` "
        "is true",
    ),
)
def test_what_must_be_unique(change: Change, told: list[str]) -> None:
    assert on_create(MANIFEST, change) == told


@pytest.mark.parametrize(("port", "owner"), sorted(RESERVED.items()))
def test_a_nodes_own_ports_are_no_pods(port: int, owner: str) -> None:
    ports = f"{FIELD}.ports"
    told = f"Invalid value: {port}: may not be used since it is used by a node's {owner}"
    for change in ({ports: [{"containerPort": 80, "hostPort": port}]}, {ports: [{"containerPort": port}], NET: True}):
        assert on_create(MANIFEST, change) == [f"{ports}[0].hostPort: {told}"]
    for change in (
        {ports: [{"containerPort": port}]},
        {ports: [{"containerPort": 80, "hostPort": port, "protocol": "UDP"}]},
    ):
        assert on_create(MANIFEST, change) == []


def field_ref(path: str, version: str = "v1") -> Change:
    return {"name": "A", "valueFrom": {"fieldRef": {"apiVersion": version, "fieldPath": path}}}


FIELD_PATH = "valueFrom.fieldRef.fieldPath: Invalid value:"


@table(
    ({"name": "A", "value": "b"},),
    ({"name": "odd name/#1", "value": "b"},),
    ({"value": "b"}, "name: Required value"),
    ({"name": "A=B"}, f'name: Invalid value: "A=B": {ENV_NAME}'),
    ({"name": "Ä"}, f'name: Invalid value: "Ä": {ENV_NAME}'),
    (field_ref("metadata.name"),),
    (field_ref("spec.host"),),
    (field_ref("metadata.labels['app']"),),
    (field_ref("metadata.annotations['EXAMPLE.com/a']"),),
    (field_ref(""), "valueFrom.fieldRef.fieldPath: Required value"),
    (
        field_ref("metadata.name", "v2"),
        f'{FIELD_PATH} "metadata.name": error converting fieldPath: unsupported pod version: v2',
    ),
    (
        field_ref("metadata.nope"),
        f'{FIELD_PATH} "metadata.nope": error converting fieldPath: field label not supported: metadata.nope',
    ),
    (
        field_ref("spec.nodeSelector['a']"),
        f"{FIELD_PATH} \"spec.nodeSelector['a']\": error converting fieldPath: field label does not support subscript: "
        "spec.nodeSelector['a']",
    ),
    (
        field_ref("status.phase"),
        f'valueFrom.fieldRef.fieldPath: Unsupported value: "status.phase": supported values: {PATHS}',
    ),
    (
        field_ref("metadata.labels"),
        f'valueFrom.fieldRef.fieldPath: Unsupported value: "metadata.labels": supported values: {PATHS}',
    ),
    (field_ref("metadata.labels['a b']"), f'valueFrom.fieldRef: Invalid value: "a b": {QUALIFIED}'),
    ({"name": "A", "valueFrom": {"configMapKeyRef": {"name": "a", "key": "b"}}},),
    (
        {"name": "A", "valueFrom": {"configMapKeyRef": {"name": "A"}}},
        f'valueFrom.configMapKeyRef.name: Invalid value: "A": {SUBDOMAIN}',
        "valueFrom.configMapKeyRef.key: Required value",
    ),
    (
        {"name": "A", "valueFrom": {"secretKeyRef": {"name": "", "key": ".."}}},
        f'valueFrom.secretKeyRef.name: Invalid value: "": {SUBDOMAIN}',
        "valueFrom.secretKeyRef.key: Invalid value: \"..\": must not be '..'",
    ),
    (
        {"name": "A", "valueFrom": {}},
        'valueFrom: Invalid value: "": must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` '
        "or `secretKeyRef`",
    ),
    (
        {**field_ref("metadata.name"), "value": "b"},
        'valueFrom: Invalid value: "": may not be specified when `value` is not empty',
    ),
    (
        {
            "name": "A",
            "valueFrom": {"configMapKeyRef": {"name": "a", "key": "b"}, "secretKeyRef": {"name": "a", "key": "b"}},
        },
        'valueFrom: Invalid value: "": may not have more than one field specified at a time',
    ),
)
def test_a_variable(change: Change, told: list[str]) -> None:
    assert on_create(MANIFEST, at({"env[0]": change})) == [f"{FIELD}.env[0].{one}" for one in told]


@table(
    ({"prefix": "A_", "configMapRef": {"name": "a"}},),
    ({"prefix": "A=", "secretRef": {"name": "a"}}, f'[0].prefix: Invalid value: "A=": {ENV_NAME}'),
    ({"configMapRef": {}}, "[0].configMapRef.name: Required value"),
    ({"secretRef": {"name": "A"}}, f'[0].secretRef.name: Invalid value: "A": {SUBDOMAIN}'),
    ({}, ': Invalid value: "": must specify one of: `configMapRef` or `secretRef`'),
    (
        {"configMapRef": {"name": "a"}, "secretRef": {"name": "a"}},
        ': Invalid value: "": may not have more than one field specified at a time',
    ),
)
def test_a_source_of_variables(change: Change, told: list[str]) -> None:
    assert on_create(MANIFEST, at({"envFrom[0]": change})) == [f"{FIELD}.envFrom{one}" for one in told]


def limit(name: str, limit: str) -> Change:
    return {"limits": {name: limit}}


@table(
    ({"limits": {"cpu": "1", "memory": "64Mi"}, "requests": {"cpu": "1000m", "memory": "32Mi"}},),
    (
        limit("cpu", "-1"),
        f'limits[cpu]: Invalid value: "-1": {NEGATIVE}',
        f'requests[cpu]: Invalid value: "-1": {NEGATIVE}',
    ),
    ({"requests": {"memory": "-1Mi"}}, f'requests[memory]: Invalid value: "-1Mi": {NEGATIVE}'),
    (
        {"limits": {"cpu": "500m"}, "requests": {"cpu": "1"}},
        'requests: Invalid value: "1": must be less than or equal to cpu limit of 500m',
    ),
    (
        {"requests": {"gpus": "1"}},
        'requests[gpus]: Invalid value: "gpus": must be a standard resource type or fully qualified',
        'requests[gpus]: Invalid value: "gpus": must be a standard resource for containers',
    ),
    (
        {"requests": {"pods": "1"}},
        'requests[pods]: Invalid value: "pods": must be a standard resource for containers',
    ),
    (
        {"requests": {"a b/c": "1"}},
        f'requests[a b/c]: Invalid value: "a b/c": prefix part {SUBDOMAIN}',
        'requests[a b/c]: Invalid value: "a b/c": doesn\'t follow extended resource name standard',
        "limits: Required value: Limit must be set for non overcommitable resources",
    ),
    (limit("example.com/gpu", "2"),),
    (
        limit("example.com/gpu", "1500m"),
        "limits[example.com/gpu]: Invalid value: 1500m: must be an integer",
        "requests[example.com/gpu]: Invalid value: 1500m: must be an integer",
    ),
    (
        {"limits": {"example.com/gpu": "2"}, "requests": {"example.com/gpu": "1"}},
        'requests: Invalid value: "1": must be equal to example.com/gpu limit of 2',
    ),
    (
        {"requests": {"example.com/gpu": "1"}},
        "limits: Required value: Limit must be set for non overcommitable resources",
    ),
    ({"limits": {"hugepages-2Mi": "4Mi", "cpu": "1"}},),
    (
        {"limits": {"hugepages-2Mi": "3Mi", "cpu": "1"}},
        'limits[hugepages-2Mi]: Invalid value: "3Mi": 3Mi is not positive integer multiple of hugepages-2Mi',
        'requests[hugepages-2Mi]: Invalid value: "3Mi": 3Mi is not positive integer multiple of hugepages-2Mi',
    ),
)
def test_resources(change: Change, told: list[str]) -> None:
    assert on_create(MANIFEST, at({"resources": change})) == [f"{FIELD}.resources.{one}" for one in told]


def test_huge_pages_alone() -> None:
    told = [f"{FIELD}.resources: Forbidden: HugePages require cpu or memory"]
    assert on_create(MANIFEST, at({"resources": limit("hugepages-2Mi", "2Mi")})) == told


def test_all_at_once() -> None:
    change = {
        "name": "A",
        "image": "",
        "ports[0].containerPort": 0,
        "env[0].name": "",
        "envFrom[0].configMapRef": {},
        "imagePullPolicy": "No",
        "resources.requests.cpu": "-1",
    }
    assert on_create(MANIFEST, at(change)) == [
        f'{FIELD}.name: Invalid value: "A": {LABEL}',
        f"{FIELD}.image: Required value",
        f"{FIELD}.ports[0].containerPort: Required value",
        f"{FIELD}.env[0].name: Required value",
        f"{FIELD}.envFrom[0].configMapRef.name: Required value",
        f'{FIELD}.imagePullPolicy: Unsupported value: "No": supported values: "Always", "IfNotPresent", "Never"',
        f'{FIELD}.resources.requests[cpu]: Invalid value: "-1": {NEGATIVE}',
    ]


def test_keys_of_config_maps() -> None:
    change = at({"env[0]": {"name": "A", "valueFrom": {"configMapKeyRef": {"name": "a", "key": "b c"}}}})
    assert on_create(MANIFEST, change) == [
        f'{FIELD}.env[0].valueFrom.configMapKeyRef.key: Invalid value: "b c": {CONFIG_KEY}'
    ]


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("cpu", "", quantity.FORMAT_MESSAGE),
        ("cpu", "much", quantity.FORMAT_MESSAGE),
        ("cpu", "1.2.3", "unable to parse numeric part of quantity"),
        ("memory", "1KiB", quantity.FORMAT_MESSAGE),
        ("memory", "1Ki2", "unable to parse quantity's suffix"),
        ("hugepages-2Mi", "x", quantity.FORMAT_MESSAGE),
    ],
)
def test_what_is_no_quantity(name: str, text: str, told: str) -> None:
    """The reader of manifests refuses these; other clients are told here."""
    wanted = core_pb2.ResourceRequirements()
    wanted.limits["cpu"].string = wanted.limits["hugepages-2Mi"].string = "1"
    wanted.requests[name].string = text
    resources.store(wanted.requests)
    said = [cause.message for cause in resources.validate(wanted, "r") if cause.field == f"r.requests[{name}]"]
    assert said[0] == f'Invalid value: "{text}": {told}'

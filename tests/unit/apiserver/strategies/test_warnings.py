"""What is allowed and yet hardly meant, in the words of upstream's ``warnings.go``."""

from __future__ import annotations

from kubelab.api.core.v1 import core_pb2
from kubelab.apiserver.strategies.podwarnings import MAX_WARNINGS, of_spec
from tests.unit.apiserver.strategies.answers import LABEL, RULES, Change, changed, table

POD = """
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: default}
spec:
  containers:
  - {name: a, image: x}
  - {name: b, image: x}
"""
A = "spec.containers[0]"
RC = """
apiVersion: v1
kind: ReplicationController
metadata: {name: web, namespace: default}
spec:
  selector: {app: web}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: a, image: x}
"""
SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec: {ports: [{port: 80}]}
"""
HIDES = 'hides previous definition of "A", which may be dropped when using apply'
FRACTION = 'fractional byte value "1181116006400m" is invalid, must be an integer'
SECCOMP = 'non-functional in v1.27+; use the "seccompProfile" field instead'


def warned(manifest: str, change: Change) -> list[str]:
    obj, resource = changed(manifest, change)
    before = obj.SerializeToString(deterministic=True)
    found = RULES[resource.plural].warnings(obj)
    assert obj.SerializeToString(deterministic=True) == before, "warnings change nothing"
    return found


@table(
    ({},),
    (
        {f"{A}.ports": [{"containerPort": 80}, {"containerPort": 80}]},
        f"{A}.ports[1]: duplicate port definition with {A}.ports[0]",
    ),
    (
        {f"{A}.ports": [{"containerPort": 80}, {"containerPort": 80, "protocol": "TCP"}]},
        f"{A}.ports[1]: duplicate port definition with {A}.ports[0]",
    ),
    ({f"{A}.ports": [{"containerPort": 80}, {"containerPort": 80, "protocol": "UDP"}]},),
    (
        {f"{A}.ports": [{"containerPort": 80}], "spec.containers[1].ports": [{"containerPort": 80}]},
        f"spec.containers[1].ports[0]: duplicate port definition with {A}.ports[0]",
    ),
    (
        {f"{A}.ports": [{"containerPort": 80, "hostPort": 80}, {"containerPort": 80}]},
        f"{A}.ports[1]: overlapping port definition with {A}.ports[0]",
    ),
    ({f"{A}.ports": [{"containerPort": 80, "hostPort": 80}, {"containerPort": 80, "hostPort": 81}]},),
    (
        {
            f"{A}.ports": [
                {"containerPort": 80, "hostPort": 80, "hostIP": "127.0.0.1"},
                {"containerPort": 80, "hostPort": 80},
            ]
        },
        f"{A}.ports[1]: dangerously ambiguous port definition with {A}.ports[0]",
    ),
    (
        {f"{A}.ports": [{"containerPort": 80, "hostIP": "127.0.0.1"}]},
        f"{A}.ports[0]: hostIP set without hostPort: "
        "{Name: HostPort:0 ContainerPort:80 Protocol:TCP HostIP:127.0.0.1}",
    ),
    ({f"{A}.env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]}, f"{A}.env[1]: {HIDES}"),
    ({f"{A}.env": [{"name": "A", "value": "1"}, {"name": "A", "value": "$(A)2"}]},),
    ({f"{A}.env": [{"name": "A", "value": "1"}, {"name": "A", "value": "$(A)"}]}, f"{A}.env[1]: {HIDES}"),
    (
        {
            f"{A}.env": [
                {"name": "A", "value": "1"},
                {"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            ]
        },
        f"{A}.env[1]: {HIDES}",
    ),
    ({f"{A}.resources": {"requests": {"memory": "1.1Gi"}}}, f"{A}.resources.requests[memory]: {FRACTION}"),
    (
        {f"{A}.resources": {"limits": {"memory": "1.1Gi"}}},
        f"{A}.resources.limits[memory]: {FRACTION}",
        f"{A}.resources.requests[memory]: {FRACTION}",
    ),
    (
        {f"{A}.resources": {"limits": {"memory": "500m"}, "requests": {"memory": "0"}}},
        f'{A}.resources.limits[memory]: fractional byte value "500m" is invalid, must be an integer',
    ),
    ({f"{A}.resources": {"limits": {"memory": "1.5Gi", "cpu": "1500m"}}},),
    (
        {"spec.hostAliases": [{"ip": "1.2.3.4", "hostnames": ["a"]}, {"ip": "1.2.3.4", "hostnames": ["b"]}]},
        'spec.hostAliases[1].ip: duplicate ip "1.2.3.4"',
    ),
    (
        {"spec.nodeSelector": {"beta.kubernetes.io/os": "linux", "disk": "ssd"}},
        'spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use "kubernetes.io/os" instead',
    ),
    (
        {"metadata.annotations": {"scheduler.alpha.kubernetes.io/critical-pod": ""}},
        "metadata.annotations[scheduler.alpha.kubernetes.io/critical-pod]: non-functional in v1.16+; "
        'use the "priorityClassName" field instead',
    ),
    (
        {"metadata.annotations": {"seccomp.security.alpha.kubernetes.io/pod": "runtime/default"}},
        f"metadata.annotations[seccomp.security.alpha.kubernetes.io/pod]: {SECCOMP}",
    ),
    (
        {
            "metadata.annotations": {"seccomp.security.alpha.kubernetes.io/pod": "runtime/default"},
            "spec.securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
        },
    ),
    (
        {"metadata.annotations": {"container.apparmor.security.beta.kubernetes.io/b": "runtime/default"}},
        "metadata.annotations[container.apparmor.security.beta.kubernetes.io/b]: deprecated since v1.30; "
        'use the "appArmorProfile" field instead',
    ),
    (
        {"spec.terminationGracePeriodSeconds": -1},
        "spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1",
    ),
    (
        {"metadata.name": "a.b"},
        "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; "
        f"a DNS label is recommended: [{LABEL}]",
    ),
)
def test_of_pods(change: Change, told: list[str]) -> None:
    assert warned(POD, change) == told


@table(
    ({},),
    (
        {"spec.template.spec.containers[0].env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]},
        f"spec.template.{A}.env[1]: {HIDES}",
    ),
    (
        {"spec.template.spec.containers[0].resources": {"limits": {"memory": "1.1Gi"}}},
        f"spec.template.{A}.resources.limits[memory]: {FRACTION}",
    ),
    (
        {"metadata.name": "a.b"},
        "metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; "
        f"a DNS label is recommended: [{LABEL}]",
    ),
)
def test_of_templates(change: Change, told: list[str]) -> None:
    assert warned(RC, change) == told


@table(
    ({},),
    (
        {"metadata.annotations": {"service.kubernetes.io/topology-aware-hints": "auto"}},
        "annotation service.kubernetes.io/topology-aware-hints is deprecated, please use "
        "service.kubernetes.io/topology-mode instead",
    ),
    (
        {"spec.clusterIP": "None", "spec.externalIPs": ["1.2.3.4"], "spec.sessionAffinity": "ClientIP"},
        "spec.externalIPs is ignored for headless services",
        "spec.SessionAffinity is ignored for headless services",
    ),
    ({"spec.clusterIP": "None", "spec.sessionAffinity": "None"},),
    (
        {"spec.type": "ExternalName", "spec.externalName": "a.b", "spec.externalIPs": ["1.2.3.4"]},
        'spec.externalIPs is ignored when spec.type is "ExternalName"',
    ),
    ({"spec.externalName": "a.b"}, 'spec.externalName is ignored when spec.type is not "ExternalName"'),
)
def test_of_services(change: Change, told: list[str]) -> None:
    assert warned(SERVICE, change) == told


def test_ten_thousand_ports_are_no_work() -> None:
    """Neither all alike, nor all different and each to be compared with every other."""
    pod = core_pb2.Pod()
    container = pod.spec.containers.add(name="a")
    for _ in range(5_000):
        container.ports.add(containerPort=80)
    assert len(of_spec(pod.spec, pod.metadata)) == MAX_WARNINGS
    del container.ports[:]
    for port in range(1, 10_001):
        container.ports.add(containerPort=80, hostPort=port)
    assert of_spec(pod.spec, pod.metadata) == []

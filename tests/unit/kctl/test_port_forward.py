"""``kctl port-forward``: which ports its words mean, and which words it refuses."""

from __future__ import annotations

import pytest

from kubelab.api.core.v1 import core_pb2
from kubelab.apimachinery.manifest.decode import decode
from kubelab.kctl.forwardedports import ports_of
from kubelab.kctl.session import Failed
from tests.unit.kctl.conftest import Shell

OBJECTS = """\
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: default, labels: {app: web}}
spec:
  nodeName: node-1
  containers:
  - {name: a, image: b, ports: [{containerPort: 8080, name: http}, {containerPort: 53, protocol: UDP, name: dns}]}
status: {phase: Pending}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec:
  clusterIP: 10.96.0.9
  selector: {app: web}
  ports: [{port: 80, targetPort: http, name: web}, {port: 81, targetPort: 9000, name: other}, {port: 82, name: same}]
---
apiVersion: v1
kind: Service
metadata: {name: headless, namespace: default}
spec: {clusterIP: None, selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: none, namespace: default}
spec: {clusterIP: 10.96.0.10, selector: {app: none}, ports: [{port: 80}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: default}
"""


def objects() -> dict[str, object]:
    made = [document.obj for document in decode(OBJECTS, "test")]
    return {"pod": made[0], "service": made[1], "headless": made[2]}


@pytest.mark.parametrize(
    ("kind", "words", "local", "remote"),
    [
        ("pod", "5000", 5000, 5000),
        ("pod", "8888:5000", 8888, 5000),
        ("pod", ":5000", 0, 5000),
        ("pod", "http", 8080, 8080),
        ("pod", "8888:http", 8888, 8080),
        ("service", "80", 80, 8080),
        ("service", "8888:80", 8888, 8080),
        ("service", "8888:web", 8888, 8080),
        ("service", "web", 80, 8080),
        ("service", ":81", 0, 9000),
        ("service", "82", 82, 82),
        ("headless", "80", 80, 80),
    ],
)
def test_what_the_words_mean(kind: str, words: str, local: int, remote: int) -> None:
    made = objects()
    pod = made["pod"]
    assert isinstance(pod, core_pb2.Pod)
    assert ports_of([words], made[kind], pod) == [(local, remote)]


@pytest.mark.parametrize(
    ("kind", "words", "message"),
    [
        ("pod", "1:2:3", "invalid port format '1:2:3'"),
        ("pod", "x", "Pod 'web' does not have a named port 'x'"),
        ("pod", "x:80", "error parsing local port 'x': strconv.ParseUint: parsing \"x\": invalid syntax"),
        ("pod", "70000", "error parsing local port '70000': strconv.ParseUint: parsing \"70000\": value out of range"),
        ("pod", "0", "remote port must be > 0"),
        ("pod", "53", "UDP protocol is not supported for 53"),
        ("service", "90", "Service web does not have a service port 90"),
        ("service", "x", "Service 'web' does not have a named port 'x'"),
    ],
)
def test_words_that_mean_no_port(kind: str, words: str, message: str) -> None:
    made = objects()
    pod = made["pod"]
    assert isinstance(pod, core_pb2.Pod)
    with pytest.raises(Failed) as told:
        ports_of([words], made[kind], pod)
    assert str(told.value) == f"error: {message}"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (("web",), "TYPE/NAME and list of ports are required for port-forward\nSee 'kctl port-forward -h' for help"),
        (("web", "80", "--address=here"), "here is not a valid IP"),
        (("web", "80"), "unable to forward port because pod is not running. Current status=Pending"),
        (("cm/settings", "80"), "cannot attach to *v1.ConfigMap: selector for *v1.ConfigMap not implemented"),
        (("svc/none", "80", "--pod-running-timeout=10ms"), "timed out waiting for the condition"),
    ],
)
def test_what_cannot_be_forwarded(shell: Shell, line: tuple[str, ...], message: str) -> None:
    shell.add(OBJECTS)
    told = shell("port-forward", *line)
    assert (told.code, told.stdout) == (1, "")
    assert told.stderr.startswith(f"error: {message}")
